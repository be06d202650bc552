// Package reader reads Microsoft Graph over HTTP: it sends requests and sends them again where that
// helps, takes answers apart, and believes nothing that is not as documented. What it concludes from
// an answer may end with people losing their access, so that everything in doubt is an error.
//
// It must never know how a request or a token is made (package graph does, with Microsoft's SDK), and
// so it builds and tests in seconds, also with the race detector.
package reader
