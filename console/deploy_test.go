package console_test

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/console"
)

// proxies say which paths are bizzscim's behind a proxy as in deploy/.
type proxies struct {
	nginx, traefik *regexp.Regexp
	caddy          []string
	readme         string
}

// proxiesOf reads the examples: what each says of paths at the pattern.
func proxiesOf(t *testing.T, nginx, traefik, caddy, readme string) proxies {
	t.Helper()
	inside := func(name, pattern string) string {
		text, err := os.ReadFile("../deploy/" + name)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(pattern).FindStringSubmatch(string(text))
		if m == nil {
			t.Fatalf("%s names no paths", name)
		}
		return m[1]
	}
	return proxies{regexp.MustCompile(inside("nginx/bizzscim.conf", nginx)), regexp.MustCompile(inside("traefik/dynamic.yml", traefik)),
		strings.Fields(inside("caddy/Caddyfile", caddy)), inside("README.md", readme)}
}

// missing names those that do not know a path.
func (p *proxies) missing(at string) (all []string) {
	byCaddy := func(pattern string) bool {
		return at == pattern || strings.HasSuffix(pattern, "/*") && strings.HasPrefix(at, strings.TrimSuffix(pattern, "*"))
	}
	for name, knows := range map[string]bool{"nginx": p.nginx.MatchString(at), "traefik": p.traefik.MatchString(at), "caddy": slices.ContainsFunc(p.caddy, byCaddy),
		"README": strings.Contains(p.readme, "`"+path.Join("/", strings.SplitN(at, "/", 3)[1])+"`")} {
		if !knows {
			all = append(all, name)
		}
	}
	return all
}

// TestProxiesKnowThePages: behind a proxy as in deploy/ each page for whoever is not of the staff is bizzscim's, not the
// application's; those of the staff and the JSON API are, where the application leaves them. "/" is the application's.
func TestProxiesKnowThePages(t *testing.T) {
	t.Parallel()
	pages := proxiesOf(t, `location ~ (\^/\S+) \{`, "PathRegexp\\(`(.*)`\\)", `@bizzscim path (.*)`, `(?s)These paths belong to bizzscim: (.*?)\. `)
	staff := proxiesOf(t, `# location ~ (\^/\S+) \{`, "# +rule: .*PathRegexp\\(`(.*)`\\)", `# @console path (.*)`, `(?s)until a .#. is taken away there:(.*?)\. `)
	paths := map[string]bool{"/api/v1/organizations": true}
	for _, r := range console.New(console.Config{}).Routes() {
		paths[regexp.MustCompile(`\{\w+\}`).ReplaceAllString(r.Path, "x")] = r.Access == console.Staff
	}
	delete(paths, "/")
	for at, ofStaff := range paths {
		known := &pages
		if ofStaff {
			known = &staff
		}
		if missing := known.missing(at); len(missing) > 0 {
			t.Errorf("%s is not known to %v", at, missing)
		}
		if ofStaff && len(pages.missing(at)) != 4 {
			t.Errorf("%s is taken from the application unasked", at)
		}
	}
	if len(paths) < 90 || len(pages.missing("/orders")) != 4 || len(staff.missing("/orders")) != 4 {
		t.Errorf("%d paths", len(paths))
	}
}
