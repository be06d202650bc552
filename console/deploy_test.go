package console_test

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/console"
)

// TestProxiesKnowThePages: behind a proxy as in deploy/ each page for whoever is not of the staff is bizzscim's, not the
// application's. "/" is the application's there, and the pages of the staff are reached otherwise.
func TestProxiesKnowThePages(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile("../deploy/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	inside := func(name, pattern string) string {
		m := regexp.MustCompile(pattern).FindStringSubmatch(read(name))
		if m == nil {
			t.Fatalf("%s names no paths", name)
		}
		return m[1]
	}
	nginx := regexp.MustCompile(inside("nginx/bizzscim.conf", `location ~ (\^/\S+) \{`))
	traefik := regexp.MustCompile(inside("traefik/dynamic.yml", "PathRegexp\\(`(.*)`\\)"))
	caddy := strings.Fields(inside("caddy/Caddyfile", `@bizzscim path (.*)`))
	readme := inside("README.md", `(?s)These paths belong to bizzscim: (.*?)\. `)
	byCaddy := func(at string) bool {
		for _, p := range caddy {
			if at == p || strings.HasSuffix(p, "/*") && strings.HasPrefix(at, strings.TrimSuffix(p, "*")) {
				return true
			}
		}
		return false
	}
	pages := 0
	for _, r := range console.New(console.Config{}).Routes() {
		if r.Access == console.Staff || r.Path == "/" {
			continue
		}
		pages++
		at := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(r.Path, "x")
		first := path.Join("/", strings.SplitN(at, "/", 3)[1])
		if !nginx.MatchString(at) || !traefik.MatchString(at) || !byCaddy(at) || !strings.Contains(readme, "`"+first+"`") {
			t.Errorf("%s %s: nginx %v, traefik %v, caddy %v, README %v", r.Method, r.Path, nginx.MatchString(at), traefik.MatchString(at), byCaddy(at), strings.Contains(readme, "`"+first+"`"))
		}
	}
	if pages < 20 || nginx.MatchString("/orders") || traefik.MatchString("/orders") || byCaddy("/orders") {
		t.Errorf("%d pages", pages)
	}
}
