// Package mail hands mails to people over to a mail server (SMTP, RFC 5321), as text and HTML, in English
// and Dutch.
//
// It sends what it is told to whom it is told, and must never know whether that is right. What it says of
// a failure holds neither an address nor anything that the mail server said.
package mail
