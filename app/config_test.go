package app

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestConfigZeroValueIsTheDefault(t *testing.T) {
	c, err := LoadConfig(Source{})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Data: "data", Listen: "127.0.0.1:8080", StopTimeout: 10 * time.Second, Log: LogConfig{"info", "auto"},
		Limits: Limits{BodyBytes: 1 << 20, JSONDepth: 32, FilterLength: 2048, FilterDepth: 10, FilterTerms: 50, PatchOperations: 500, PatchMembers: 1000,
			BulkOperations: 100, BulkBytes: 1 << 20, PageDefault: 100, PageMax: 200, HeaderBytes: 16 << 10, HeaderCount: 100, RequestsPerSecond: 500, Burst: 1000},
		Timeouts: Timeouts{5 * time.Second, 30 * time.Second, 30 * time.Second, 120 * time.Second},
		Pull:     PullConfig{15 * time.Minute, 10 * time.Minute, 2 * time.Hour, 90, 4},
		Session:  SessionConfig{Life: 8 * time.Hour}, SMTP: SMTPConfig{Port: 587, TLS: "starttls", Timeout: 30 * time.Second}}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("defaults (-want +got):\n%s", d)
	}
	if w := (Config{}).Warnings(); len(w) > 0 {
		t.Errorf("the defaults warn: %q", w)
	}
}

func TestConfigRefusesAnAddressWithoutAHost(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"https://:8443", "https://", "https://a@b.example", "https://b.example?x", "ftp://b.example"} {
		if _, err := LoadConfig(Source{Flags: func(c *Config) { c.BaseURL = u }}); err == nil || !strings.Contains(err.Error(), "base_url: ") {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestConfigLaterSourcesWin(t *testing.T) {
	file := write(t, "listen: 127.0.0.1:1\nbase_url: https://file.example/\ndata: file\nlimits:\n  page_max: 150\ntimeouts:\n  read: 7s\ntrusted_proxies: [10.0.0.0/8]\n")
	c, err := LoadConfig(Source{File: file,
		Environ: []string{"BIZZSCIM_LISTEN=127.0.0.1:2", "BIZZSCIM_DATA=env", "BIZZSCIM_LIMITS_JSON_DEPTH=16", "BIZZSCIM_TIMEOUTS_IDLE=9s", "BIZZSCIM_BASE_URL=", "OTHER=x"},
		Flags:   func(c *Config) { c.Listen = "127.0.0.1:3" }})
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.Listen, c.Data, c.BaseURL, c.Limits.PageMax, c.Limits.JSONDepth, c.Timeouts.Read, c.Timeouts.Idle, c.TrustedProxies[0], c.Limits.PageDefault}
	want := []any{"127.0.0.1:3", "env", "https://file.example", 150, 16, 7 * time.Second, 9 * time.Second, "10.0.0.0/8", 100}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestConfigReportsAllProblemsAtOnce(t *testing.T) {
	file := write(t, "listne: 127.0.0.1:1\nlimits:\n  page_max: many\n  body_byte: 4\nlog:\n  level: loud\n")
	_, err := LoadConfig(Source{File: file,
		Environ: []string{"BIZZSCIM_LIMITS_JSON_DEPTH=deep", "BIZZSCIM_LIMITS_BURST=3", "BIZZSCIM_TIMEOUTS_READ=soon", "BIZZSCIM_TRUSTED_PROXIES=10.0.0.0/8,everybody"},
		Flags:   func(c *Config) { c.Listen = "nowhere"; c.BaseURL = "scim.example.com" }})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"line 1: unknown key listne", "line 4: unknown key body_byte", "`many`", "BIZZSCIM_LIMITS_JSON_DEPTH: \"deep\"", "BIZZSCIM_TIMEOUTS_READ",
		"limits.burst: 3 is not between 25 and", `trusted_proxies: "everybody"`, `listen: "nowhere"`, `base_url: "scim.example.com"`, `log.level: "loud"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among the problems:\n%v", want, err)
		}
	}
}

func TestConfigRefusesAFileThatIsNotThereOrNotOne(t *testing.T) {
	for name, file := range map[string]string{"missing": filepath.Join(t.TempDir(), "none.yaml"), "two documents": write(t, "listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2\n"),
		"a list": write(t, "- listen\n"), "not yaml": write(t, "listen: [\n")} {
		if _, err := LoadConfig(Source{File: file}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := LoadConfig(Source{File: write(t, "")}); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

// TestConfigEveryKeyHasItsVariable keeps the rule of EnvPrefix: the name of the variable follows
// from the key.
// TestConfigEveryKeyHasItsVariable, and its row in docs/configuration.md.
func TestConfigEveryKeyHasItsVariable(t *testing.T) {
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(string(text), -1) {
		for _, m := range regexp.MustCompile("`([A-Za-z_.]+)`").FindAllStringSubmatch(row[1], -1) {
			documented[EnvPrefix+strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(m[1], EnvPrefix), ".", "_"))] = true
		}
	}
	n := 0
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, prefix string) {
		for f := range typ.Fields() {
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			want := strings.ToUpper(key)
			if key == "-" && f.Type == reflect.TypeFor[Secret]() { // never in a file that is passed around
				want = strings.ToUpper(f.Name)
			}
			if key == "" {
				t.Errorf("%s has no key", f.Name)
			}
			if nested, ok := f.Tag.Lookup("envPrefix"); ok {
				if nested != want+"_" {
					t.Errorf("%s: prefix %q, want %q", key, nested, want+"_")
				}
				walk(f.Type, prefix+nested)
				continue
			}
			n++
			if got := f.Tag.Get("env"); got != want {
				t.Errorf("%s: variable %q, want %q", key, got, want)
			}
			if got := variable(reflect.TypeFor[Config](), f.Name, EnvPrefix); got != prefix+want {
				t.Errorf("%s: an error would name %q, want %q", key, got, prefix+want)
			}
			if !documented[prefix+want] {
				t.Errorf("%s is not documented", prefix+want)
			}
			delete(documented, prefix+want)
		}
	}
	walk(reflect.TypeFor[Config](), EnvPrefix)
	if n < 25 || len(documented) > 0 {
		t.Errorf("%d keys were looked at; documented and not there: %v", n, documented)
	}
}

func TestConfigThatIsPrintedReadsTheSame(t *testing.T) {
	c, err := LoadConfig(Source{Environ: []string{"BIZZSCIM_DRAIN_DELAY=90s", "BIZZSCIM_TRUSTED_PROXIES=10.0.0.0/8,::1"}})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := c.WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	again, err := LoadConfig(Source{File: write(t, b.String())})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, again); d != "" {
		t.Errorf("%s\n%s", d, b.String())
	}
	m, err := c.Map()
	if err != nil || m["drain_delay"] != "1m30s" {
		t.Errorf("as a map: %v, %v", m["drain_delay"], err)
	}
	if yaml.Unmarshal([]byte(b.String()), &m) != nil {
		t.Error("not YAML")
	}
}

func TestConfigOfThePull(t *testing.T) {
	empty, ca := write(t, "no certificate"), write(t, certificatePEM(t))
	tests := []struct {
		name string
		c    PullConfig
		want string // part of the one problem; empty: none
	}{
		{"the defaults", PullConfig{}, ""},
		{"a short interval brings its deadline", PullConfig{Interval: 3 * time.Second}, ""},
		{"an interval of nothing", PullConfig{Interval: time.Millisecond}, "pull.interval: 1ms is not between 1s and 24h0m0s"},
		{"a deadline as long as the interval", PullConfig{Interval: 5 * time.Minute, Deadline: 5 * time.Minute}, "pull.deadline: 5m0s is not less than pull.interval (5m0s)"},
		{"a deadline just below", PullConfig{Interval: 5 * time.Minute, Deadline: 5*time.Minute - 1}, ""},
		{"a deadline below 0", PullConfig{Deadline: -time.Second}, "pull.deadline: -1s is not between"},
		{"silence at once", PullConfig{SilentAfter: time.Second}, "pull.silent_after: 1s is not between"},
		{"kept for ever", PullConfig{KeepDays: 3651}, "pull.keep_days: 3651 is not between 1 and 3650"},
		{"not kept", PullConfig{KeepDays: -1}, "pull.keep_days"},
		{"too many at once", PullConfig{Tenants: 65}, "pull.tenants: 65 is not between 1 and 64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Pull: tt.c}.orDefaults()
			got := c.problems()
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("problems %q", got)
			case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
				t.Errorf("problems %q, want one with %q", got, tt.want)
			}
		})
	}
	for file, want := range map[string]string{empty + "x": "ca_file: open " + empty + "x", empty: empty + " holds no certificate in PEM", ca: ""} {
		c := Config{CAFile: file}.orDefaults()
		if got := strings.Join(c.problems(), "; "); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("ca_file %s: problems %q, want %q", file, got, want)
		}
	}
	p := Config{CAFile: ca}
	with, err := p.roots()
	if err != nil {
		t.Fatal(err)
	}
	system, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	if with.Equal(system) {
		t.Error("the certificate is not among those that are trusted")
	}
	p.CAFile = ""
	if none, err := p.roots(); none != nil || err != nil {
		t.Errorf("without a file: %v, %v", none, err)
	}
}

// TestConfigSecretIsNeverPrinted prints a configuration in every way that prints something by accident.
func TestConfigSecretIsNeverPrinted(t *testing.T) {
	const key = "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	c, err := LoadConfig(Source{Environ: []string{"BIZZSCIM_SECRETS_KEY=" + key}})
	if err != nil || string(c.Secrets.Key) != key {
		t.Fatalf("read as %d bytes, %v", len(c.Secrets.Key), err)
	}
	var log buffer
	for _, l := range []*slog.Logger{slog.New(slog.NewJSONHandler(&log, nil)), slog.New(slog.NewTextHandler(&log, nil))} {
		l.Info("config", "config", c, "key", c.Secrets.Key, "pointer", &c)
	}
	var file strings.Builder
	if err := c.WriteYAML(&file); err != nil {
		t.Fatal(err)
	}
	m, err := c.Map()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{log.String(), file.String(), string(doc), fmt.Sprint(m)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X"} {
		texts = append(texts, fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c), fmt.Sprintf(verb, c.Secrets.Key))
	}
	for _, text := range texts {
		if low := strings.ToLower(text); strings.Contains(text, key[3:20]) || strings.Contains(low, hex.EncodeToString([]byte(key[3:20]))) {
			t.Errorf("the key is in %s", text)
		}
	}
	if got := fmt.Sprint(Secret("")); got != "" {
		t.Errorf("no key is shown as %q", got)
	}
	// It has no place in a file.
	if _, err := LoadConfig(Source{File: write(t, "secrets:\n  key: "+key+"\n")}); err == nil || !strings.Contains(err.Error(), "unknown key key") {
		t.Errorf("taken from a file: %v", err)
	}
}

func TestConfigWarnings(t *testing.T) {
	tests := []struct {
		name string
		c    Config
		want []string
	}{
		{"loopback", Config{Listen: "[::1]:8080"}, nil},
		{"everywhere", Config{Listen: ":8080"}, []string{"without TLS", "Host header"}},
		{"everywhere behind a proxy", Config{Listen: "0.0.0.0:8080", TrustedProxies: []string{"10.1.2.3"}, BaseURL: "https://scim.example.com"}, nil},
		{"public http", Config{BaseURL: "http://scim.example.com"}, []string{"not https"}},
		{"open metrics", Config{MetricsListen: "10.0.0.1:9090"}, []string{"metrics"}},
		{"in a hurry", Config{Pull: PullConfig{Interval: time.Minute}}, []string{"pull.interval is 1m0s"}},
		{"keys that are none", Config{Secrets: SecretsConfig{Key: "k1 c2VjcmV0"}}, []string{"BIZZSCIM_SECRETS_KEY cannot be used"}},
		{"trust in everybody", Config{TrustedProxies: []string{"0.0.0.0/0"}}, []string{"who signs in is sent back to http://127.0.0.1:8080", "everybody"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.c.Warnings()
			if len(got) != len(tt.want) {
				t.Fatalf("warnings %q, want %d", got, len(tt.want))
			}
			for i, want := range tt.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("warning %q, want one about %q", got[i], want)
				}
			}
		})
	}
}

func TestConfigUnknownVariables(t *testing.T) {
	got := UnknownEnviron([]string{"BIZZSCIM_LISTN=x", "BIZZSCIM_LISTEN=x", "BIZZSCIM_LIMITS_BURST=1", "BIZZSCIM_TOKEN=x", "BIZZSCIM_PORT=tcp://1", "BIZZSCIM_SERVICE_HOST=1", "HOME=/"}, "BIZZSCIM_TOKEN")
	if !slices.Equal(got, []string{"BIZZSCIM_LISTN"}) {
		t.Errorf("unknown: %q", got)
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "bizzscim.yaml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestConfigOfSignIn(t *testing.T) {
	const env = "0190c1a2-0000-7000-8000-000000000001"
	tests := []struct {
		name, file, environ, want string
	}{
		{"the longest session", "session: {life: 8h}\n", "", ""},
		{"a longer one", "session: {life: 8h1s}\n", "", "session.life: 8h0m1s is not between 10s and 8h0m0s"},
		{"a shorter one than a person can use", "session: {life: 9s}\n", "", "session.life"},
		{"idle for longer than it lives", "session: {idle: 9h}\n", "", "session.idle"},
		{"idle at once", "session: {idle: 1s}\n", "", "session.idle"},
		{"idle after half an hour", "session: {idle: 30m}\n", "", ""},
		{"a mail server", "smtp: {host: mail.example, from: 'BizzStream <no-reply@example.com>'}\n", "", ""},
		{"without a sender", "smtp: {host: mail.example}\n", "", `smtp.from: ""`},
		{"with its port in the name", "smtp: {host: 'mail.example:25', from: a@b.example}\n", "", "smtp.host"},
		{"a port beyond all", "smtp: {host: mail.example, from: a@b.example, port: 65536}\n", "", "smtp.port: 65536"},
		{"an unknown TLS", "smtp: {host: mail.example, from: a@b.example, tls: maybe}\n", "", "smtp.tls"},
		{"a password in the clear", "smtp: {host: mail.example, from: a@b.example, tls: none, user: me}\n", "", "not sent without TLS"},
		{"a mail that takes for ever", "smtp: {host: mail.example, from: a@b.example, timeout: 1h}\n", "", "smtp.timeout"},
		{"a password in the file", "smtp: {password: x}\n", "", "unknown key password"},
		{"an upstream", "upstreams: [{name: orders, audience: 'https://x.example', environment: " + env + "}]\n", "", ""},
		{"from the environment", "", "BIZZSCIM_UPSTREAMS=orders https://x.example " + env + ",stock https://y.example", ""},
		{"without an audience", "upstreams: [{name: orders}]\n", "", "upstreams[0].audience"},
		{"a variable without an audience", "", "BIZZSCIM_UPSTREAMS=orders", "NAME AUDIENCE"},
		{"twice", "upstreams: [{name: a, audience: b}, {name: a, audience: c}]\n", "", `upstreams[1].name: "a" is there twice`},
		{"a name that is a path", "upstreams: [{name: a/b, audience: b}]\n", "", "upstreams[0].name"},
		{"an environment by name", "upstreams: [{name: a, audience: b, environment: Production}]\n", "", "upstreams[0].environment"},
		{"where BizzStream is", "bizzstream_url: https://app.example/start\n", "", ""},
		{"a script in its place", "bizzstream_url: 'javascript:alert(1)'\n", "", "bizzstream_url"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := LoadConfig(Source{File: write(t, tt.file), Environ: []string{tt.environ}})
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestConfigWarnsOfSignInThatCannotWork(t *testing.T) {
	for want, c := range map[string]Config{
		"no browser keeps a session": {BaseURL: "http://scim.example.com", Listen: "127.0.0.1:1"},
		"answers only a proxy":       {Upstreams: []Upstream{{Name: "a", Audience: "b"}}},
		"links cross the network":    {SMTP: SMTPConfig{Host: "mail.example", TLS: "none"}},
	} {
		if got := strings.Join(c.Warnings(), "\n"); !strings.Contains(got, want) {
			t.Errorf("no warning with %q in %q", want, got)
		}
	}
}
