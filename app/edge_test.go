package app

import (
	"net/http"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/scim"
)

// TestEveryRouteHasAClass keeps the metrics whole: no route of the SCIM handler is counted as
// "scim", which is for what does not exist.
func TestEveryRouteHasAClass(t *testing.T) {
	for _, route := range scim.Routes() {
		path := "/scim/acme/v2" + strings.ReplaceAll(route.Pattern, "{id}", "some-id")
		class := classOf(path)
		if class == "scim" || class == "other" || strings.Contains(class, "some-id") || strings.HasSuffix(route.Pattern, "{id}") != strings.HasSuffix(class, "{id}") {
			t.Errorf("%s is of class %q", path, class)
		}
	}
	for path, want := range map[string]string{"/scim/acme/v2/users": "Users", "/scim/acme/v2/users/x": "Users/{id}", "/scim/acme/v2/GROUPS/x": "Groups/{id}", "/scim/acme/v2/groups/.search": "search",
		"/scim/acme/v2/.Search": "search", "/scim/acme/v2/BULK": "Bulk", "/scim/acme/v2/BULK/x": "scim", "/scim/acme/v2/serviceproviderconfig": "ServiceProviderConfig", "/scim/acme/v2/me": "Me",
		"/scim/acme/oauth2/token": "token", "/scim/acme/v2/Nothing": "scim", "/scim/": "scim", "/": "home", "/x": "other", "/auth": "other", "/auth/x": "other",
		"/auth/verify/orders": "auth/verify", "/setup/bzl_secret": "setup", "/operator/link/bzl_secret": "operator", "/.well-known/jwks.json": "keys", "/readyz": "readyz", "/readyz/x": "other"} {
		if got := classOf(path); got != want {
			t.Errorf("%s is of class %q, want %q", path, got, want)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	for given, kept := range map[string]bool{"abc": true, "A-1": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "": false, "a b": false, "a\"": false, "é": false, "a_b": false} {
		if got := requestID([]string{given}); (got == given) != kept || len(got) == 0 {
			t.Errorf("%q became %q", given, got)
		}
	}
	if a, b := requestID(nil), requestID(nil); a == b {
		t.Errorf("two requests are %s", a)
	}
	if got := requestID([]string{"a", "b"}); len(got) != 16 {
		t.Errorf("of two ids one was chosen: %s", got)
	}
}

func TestClientBehindProxies(t *testing.T) {
	p := proxies{}
	for _, s := range []string{"10.0.0.0/8", "::1", "::ffff:192.0.2.0/120"} {
		prefix, err := parsePrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		p = append(p, prefix)
	}
	for _, tt := range []struct{ remote, forwarded, want string }{
		{"203.0.113.1:5", "1.2.3.4", "203.0.113.1"}, // not a proxy: what it says counts nothing
		{"10.0.0.1:5", "", "10.0.0.1"},
		{"10.0.0.1:5", "1.2.3.4", "1.2.3.4"},
		{"10.0.0.1:5", "6.6.6.6, 1.2.3.4", "1.2.3.4"},
		{"10.0.0.1:5", "6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"},
		{"10.0.0.1:5", "6.6.6.6, nonsense, 10.9.9.9", "10.9.9.9"},
		{"[::1]:5", "2001:db8::1", "2001:db8::1"},
		{"192.0.2.7:5", "1.2.3.4", "1.2.3.4"},
		{"[::ffff:10.0.0.1]:5", "1.2.3.4", "1.2.3.4"},
		{"@", "1.2.3.4", "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: tt.remote, Header: http.Header{}}
		if tt.forwarded != "" {
			r.Header["X-Forwarded-For"] = []string{tt.forwarded}
		}
		if got := p.client(r).String(); got != tt.want {
			t.Errorf("%s with %q: %s, want %s", tt.remote, tt.forwarded, got, tt.want)
		}
	}
}

func TestBaseIgnoresAHostThatIsMore(t *testing.T) {
	prefix, _ := parsePrefix("127.0.0.1")
	r := &http.Request{RemoteAddr: "127.0.0.1:1", Host: "inside:8080", Header: http.Header{"X-Forwarded-Host": {"evil.example/path"}, "X-Forwarded-Proto": {"javascript"}}}
	if got := (proxies{prefix}).base(r, func() string { return "http://fallback" }); got != "http://inside:8080" {
		t.Errorf("base %s", got)
	}
	r.Host = ""
	r.Header = http.Header{}
	if got := (proxies{prefix}).base(r, func() string { return "http://fallback" }); got != "http://fallback" {
		t.Errorf("base %s", got)
	}
}
