// Package console serves the pages that people see: signing in and out, what went wrong, who is signed in,
// sessions, passwords. Pages are rendered here and work without scripts; a small module adds the clock of the
// session. It must never decide who may do what: sign-in is auth's, rights are the directory's.
package console
