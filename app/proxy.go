package app

import (
	"net/http"
	"net/netip"
	"strings"
)

// proxies are the peers whose X-Forwarded-* headers are believed.
type proxies []netip.Prefix

func (p proxies) trusts(addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// peer returns the address at the other end of the connection; it is not valid for a connection
// that has none, such as a Unix socket.
func peer(r *http.Request) netip.Addr {
	p, _ := netip.ParseAddrPort(r.RemoteAddr)
	return p.Addr().Unmap()
}

// client returns the address of the caller: the peer's or, behind trusted proxies, the last
// address of X-Forwarded-For that is not one of theirs. Everything to the left of that is what
// the caller claims.
func (p proxies) client(r *http.Request) netip.Addr {
	at := peer(r)
	if len(p) == 0 || !p.trusts(at) {
		return at
	}
	var list []string
	for _, h := range r.Header["X-Forwarded-For"] {
		list = append(list, strings.Split(h, ",")...)
	}
	for i := len(list) - 1; i >= 0; i-- {
		addr, err := netip.ParseAddr(strings.TrimSpace(list[i]))
		if err != nil {
			break
		}
		at = addr.Unmap()
		if !p.trusts(at) {
			break
		}
	}
	return at
}

// base returns scheme and host by which the caller reached us, without a slash at the end, for a
// request whose Host header has been checked.
func (p proxies) base(r *http.Request, fallback func() string) string {
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if len(p) > 0 && p.trusts(peer(r)) {
		switch last(r.Header["X-Forwarded-Proto"]) {
		case "https":
			scheme = "https"
		case "http":
			scheme = "http"
		}
		if h := last(r.Header["X-Forwarded-Host"]); h != "" && plainHost(h) {
			host = h
		}
	}
	if host == "" { // HTTP/1.0
		return fallback()
	}
	return scheme + "://" + host
}

// last returns the last value of a header that each proxy on the way may have added to: that of
// the proxy that we trust.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	v := values[len(values)-1]
	return strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])
}

// plainHost reports whether a text is a host name or address with an optional port, and nothing
// that could mean more than that within a URL.
func plainHost(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '-', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return len(s) <= 255
}
