package api_test

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/api"
)

// one is a command of the guide: bz PATH [OPTIONS].
var (
	one    = regexp.MustCompile(`(?m)(?:^|\()bz (?:"([^"\s]+)"|([^\s"]+))(.*)$`)
	method = regexp.MustCompile(` -X ([A-Z]+)`)
	data   = regexp.MustCompile(` -d (?:'([^']*)'|"((?:[^"\\]|\\.)*)")`)
	shell  = regexp.MustCompile(`\$[A-Z]+`)
)

// What the guide tells people to send fits the description.
func TestCommandsOfTheGuide(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	contract := newContract(t)
	values := map[string]string{"$HASH": strings.Repeat("0", 64), "$CURSOR": "AQAAAAAAAAAq", "$SECRET": "abc~0123456789012345"}
	fill := func(s string) string {
		return shell.ReplaceAllStringFunc(s, func(name string) string {
			if v, ok := values[name]; ok {
				return v
			}
			return "01a20861-e059-71a2-80c4-bf2b80847439"
		})
	}
	all := one.FindAllStringSubmatch(string(text), -1)
	if len(all) < 40 {
		t.Errorf("%d commands are found", len(all))
	}
	for _, c := range all {
		verb, body := http.MethodGet, ""
		if m := method.FindStringSubmatch(c[3]); m != nil {
			verb = m[1]
		}
		if m := data.FindStringSubmatch(c[3]); m != nil {
			body = m[1] + strings.ReplaceAll(fill(m[2]), `\"`, `"`)
		}
		for _, why := range contract.request(contract.asked(t, verb, api.Prefix+fill(c[1]+c[2]), body)) {
			t.Errorf("%s\n%s", c[0], why)
		}
	}
}
