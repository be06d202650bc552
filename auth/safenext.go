package auth

import (
	"net/url"
	"strings"
)

// maxNext bounds where a sign-in goes afterwards, in bytes: it is carried in a cookie.
const maxNext = 1024

// nextCharacters are those of a path and a query (RFC 3986 sections 3.3 and 3.4) that SafeNext lets pass.
const nextCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@%/?"

// SafeNext returns where to go after a sign-in: a path of this server with its query, as it was given,
// or "/" for anything that a browser, or a proxy that decodes it, could read as another host.
func SafeNext(s string) string {
	if len(s) > maxNext || !strings.HasPrefix(s, "/") || strings.ContainsFunc(s, notNext) {
		return "/"
	}
	path, query, _ := strings.Cut(s, "?")
	decoded, err := url.PathUnescape(path)
	if err != nil || !safePath(decoded) {
		return "/"
	}
	if _, err := url.QueryUnescape(query); err != nil {
		return "/"
	}
	return s
}

func notNext(r rune) bool { return !strings.ContainsRune(nextCharacters, r) }

// safePath refuses a decoded path that is another one when it is decoded again or cleaned.
func safePath(path string) bool {
	if strings.Contains(path, "//") || strings.ContainsAny(path, "\\%") || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "." || part == ".." {
			return false
		}
	}
	return true
}
