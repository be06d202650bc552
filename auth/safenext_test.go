package auth_test

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/auth"
)

func TestSafeNext(t *testing.T) {
	for _, s := range []string{"/", "/account", "/account?tab=sessions&x=%2F%2Fevil.example", "/env/0190-ab/users", "/a-b_c~d.e/f:g@h", "/?", "/x/", "/%C3%A9",
		"/login?next=https://evil.example", "/" + strings.Repeat("a", 1023)} {
		if got := auth.SafeNext(s); got != s {
			t.Errorf("%q becomes %q", s, got)
		}
	}
	for _, s := range []string{"", "account", "https://evil.example", "//evil.example", "///evil.example", `/\evil.example`, `\/evil.example`, `\\evil.example`, "/%2f%2fevil.example",
		"/%2Fevil.example", "/%5cevil.example", "/a/%5c%5cevil", "https:evil", "https:/evil.example", "javascript:alert(1)", "data:text/html,x", "/ok\r\nSet-Cookie: a=b",
		"/ok%0d%0aSet-Cookie:a=b", "@evil", "/\t/evil", "/%09/evil.example", " /evil", "/ evil", "/a//evil.example", "/.//evil.example", "/..//evil.example", "/./x", "/a/../b", "/a/..",
		"/%2e%2e/x", "/%252f%252fevil.example", "/%", "/%zz", "/x?%zz", "/x#y", "/é", "/\x00", "/\x7f", "/a\u2028b", "/｡evil", "/<script>", "/\"", "/x?a=\"", "/x?a=<b>",
		"/[::1]", "/" + strings.Repeat("a", 1024)} {
		if got := auth.SafeNext(s); got != "/" {
			t.Errorf("%q becomes %q", s, got)
		}
	}
}

// local reports whether a browser, and net/http, stay on this host when they are sent there.
func local(s string) bool {
	base, _ := url.Parse("https://bizzscim.example/auth/callback")
	to, err := base.Parse(s)
	if err != nil || to.Host != base.Host || to.Scheme != "https" || to.User != nil {
		return false
	}
	again, err := base.Parse(to.Path) // as who decodes it once would
	return err == nil && again.Host == base.Host && !strings.ContainsAny(s, "\r\n\t\\")
}

func TestSafeNextIsLocal(t *testing.T) {
	parts := rapid.SampledFrom([]string{"/", "//", "\\", "%2f", "%5C", "%252f", "evil.example", "@", ":", "https:", "?", "#", ".", "..", "%2e", "\t", "\r\n", "a", "%00", "é", "[", "&"})
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(parts, 0, 8).Draw(t, "parts"), "")
		if got := auth.SafeNext(s); got != "/" && got != s || !local(got) {
			t.Errorf("%q becomes %q", s, got)
		}
	})
}

func FuzzSafeNext(f *testing.F) {
	for _, s := range []string{"/", "//evil.example", "/a?b=c", "/%2f%2fevil", "/\\evil", "/a/../..//evil"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := auth.SafeNext(s)
		if got != "/" && got != s || !local(got) || auth.SafeNext(got) != got {
			t.Errorf("%q becomes %q", s, got)
		}
	})
}
