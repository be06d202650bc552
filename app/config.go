package app

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"go.yaml.in/yaml/v3"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/vault"
)

// EnvPrefix starts the name of every environment variable that is read: "limits.body_bytes" of
// the file is BIZZSCIM_LIMITS_BODY_BYTES.
const EnvPrefix = "BIZZSCIM_"

// Config is how the program is set up. The zero value of every field means its default, so the
// zero Config is a working one.
type Config struct {
	Data           string        `yaml:"data" env:"DATA"`                       // folder with everything that is kept; default ./data
	Listen         string        `yaml:"listen" env:"LISTEN"`                   // HOST:PORT; default 127.0.0.1:8080; port 0: any
	BaseURL        string        `yaml:"base_url" env:"BASE_URL"`               // public address, such as https://scim.example.com; default: as each request names it
	MetricsListen  string        `yaml:"metrics_listen" env:"METRICS_LISTEN"`   // HOST:PORT of the Prometheus metrics; default: none
	TrustedProxies []string      `yaml:"trusted_proxies" env:"TRUSTED_PROXIES"` // addresses or CIDRs whose X-Forwarded-* headers are believed
	DrainDelay     time.Duration `yaml:"drain_delay" env:"DRAIN_DELAY"`         // from "not ready" to refusing connections, when stopping; default 0
	StopTimeout    time.Duration `yaml:"stop_timeout" env:"STOP_TIMEOUT"`       // for requests to end, after the drain delay; default 10 s
	Log            LogConfig     `yaml:"log" envPrefix:"LOG_"`
	Limits         Limits        `yaml:"limits" envPrefix:"LIMITS_"`
	Timeouts       Timeouts      `yaml:"timeouts" envPrefix:"TIMEOUTS_"`
	Pull           PullConfig    `yaml:"pull" envPrefix:"PULL_"`
	Secrets        SecretsConfig `yaml:"secrets" envPrefix:"SECRETS_"`
	Webhooks       WebhookConfig `yaml:"webhooks" envPrefix:"WEBHOOKS_"`
	Session        SessionConfig `yaml:"session" envPrefix:"SESSION_"`
	SMTP           SMTPConfig    `yaml:"smtp" envPrefix:"SMTP_"`
	Upstreams      []Upstream    `yaml:"upstreams,omitempty" env:"UPSTREAMS"` // applications behind a proxy that asks /auth/verify
	BizzStreamURL  string        `yaml:"bizzstream_url" env:"BIZZSTREAM_URL"` // where people go on to once they are signed in, and where internal users have their password
	CAFile         string        `yaml:"ca_file" env:"CA_FILE"`               // PEM of certificates that are trusted beside the system's: of a custom cloud, a mail server, or a proxy that inspects
}

// SessionConfig bounds the sessions of people.
type SessionConfig struct {
	Life time.Duration `yaml:"life" env:"LIFE"` // from sign-in, whatever the activity; default, and most, 8 h
	// without activity, a session ends; default 0: it does not
	IdleLimit time.Duration `yaml:"idle" env:"IDLE"`
	// file that tells whether the data was restored; default sessions.witness in the data folder. Snapshots of a whole
	// disk need it on another one.
	Witness string `yaml:"witness" env:"WITNESS"`
}

// SMTPConfig is the mail server that takes mails about passwords.
type SMTPConfig struct {
	Host     string        `yaml:"host" env:"HOST"` // empty: no mail is sent
	Port     int           `yaml:"port" env:"PORT"` // default 587, with TLS implicit 465
	User     string        `yaml:"user" env:"USER"`
	Password Secret        `yaml:"-" env:"PASSWORD"` // from the environment alone
	From     string        `yaml:"from" env:"FROM"`  // such as BizzStream <no-reply@example.com>
	TLS      string        `yaml:"tls" env:"TLS"`    // starttls (default), implicit, none
	Timeout  time.Duration `yaml:"timeout" env:"TIMEOUT"`
}

// Upstream is an application behind a proxy. The proxy asks /auth/verify/{name} of each request.
type Upstream struct {
	Name        string `yaml:"name"`        // a-z, 0-9, hyphen
	Audience    string `yaml:"audience"`    // of the assertions; such as the application's address
	Environment string `yaml:"environment"` // id; a person needs an active access to it; empty: to any
}

// UnmarshalText reads an upstream from the environment: "NAME AUDIENCE" or "NAME AUDIENCE ENVIRONMENT".
func (u *Upstream) UnmarshalText(text []byte) error {
	f := strings.Fields(string(text))
	if len(f) != 2 && len(f) != 3 {
		return fmt.Errorf("%q is not NAME AUDIENCE [ENVIRONMENT]", text)
	}
	u.Name, u.Audience = f[0], f[1]
	if len(f) == 3 {
		u.Environment = f[2]
	}
	return nil
}

// LogConfig is what is logged and how.
type LogConfig struct {
	Level  string `yaml:"level" env:"LEVEL"`   // debug, info, warn, error; default info
	Format string `yaml:"format" env:"FORMAT"` // text, json, auto (text on a terminal); default auto
}

// Limits bound what one request, and one tenant, may ask for.
type Limits struct {
	BodyBytes         int64 `yaml:"body_bytes" env:"BODY_BYTES"`                   // default 1 MiB
	JSONDepth         int   `yaml:"json_depth" env:"JSON_DEPTH"`                   // default 32
	FilterLength      int   `yaml:"filter_length" env:"FILTER_LENGTH"`             // characters; default 2,048
	FilterDepth       int   `yaml:"filter_depth" env:"FILTER_DEPTH"`               // default 10
	FilterTerms       int   `yaml:"filter_terms" env:"FILTER_TERMS"`               // default 50
	PatchOperations   int   `yaml:"patch_operations" env:"PATCH_OPERATIONS"`       // default 500
	PatchMembers      int   `yaml:"patch_members" env:"PATCH_MEMBERS"`             // default 1,000
	BulkOperations    int   `yaml:"bulk_operations" env:"BULK_OPERATIONS"`         // default 100, at most 1,000
	BulkBytes         int64 `yaml:"bulk_bytes" env:"BULK_BYTES"`                   // of a bulk; default 1 MiB
	PageDefault       int   `yaml:"page_default" env:"PAGE_DEFAULT"`               // resources; default 100
	PageMax           int   `yaml:"page_max" env:"PAGE_MAX"`                       // resources; default 200, at most 1,000
	HeaderBytes       int   `yaml:"header_bytes" env:"HEADER_BYTES"`               // of the request line with all headers; default 16 KiB
	HeaderCount       int   `yaml:"header_count" env:"HEADER_COUNT"`               // default 100
	RequestsPerSecond int   `yaml:"requests_per_second" env:"REQUESTS_PER_SECOND"` // of a tenant; default 500, never below 25
	Burst             int   `yaml:"burst" env:"BURST"`                             // of a tenant; default 1,000, never below 25
}

// Timeouts of the HTTP server.
type Timeouts struct {
	ReadHeader time.Duration `yaml:"read_header" env:"READ_HEADER"` // default 5 s
	Read       time.Duration `yaml:"read" env:"READ"`               // of a whole request; default 30 s
	Write      time.Duration `yaml:"write" env:"WRITE"`             // from the end of the headers to the end of the answer; default 30 s
	Idle       time.Duration `yaml:"idle" env:"IDLE"`               // between requests; default 120 s
}

// PullConfig is when and how environments are pulled.
type PullConfig struct {
	Interval    time.Duration `yaml:"interval" env:"INTERVAL"`         // between the runs of an environment, 10 % more or less; default 15 min
	Deadline    time.Duration `yaml:"deadline" env:"DEADLINE"`         // of one run, below the interval; default 10 min
	SilentAfter time.Duration `yaml:"silent_after" env:"SILENT_AFTER"` // without a request from a tenant, its push counts as silent; default 2 h
	KeepDays    int           `yaml:"keep_days" env:"KEEP_DAYS"`       // runs and their plans are kept; default 90
	Tenants     int           `yaml:"tenants" env:"TENANTS"`           // pulled at the same time; default 4
}

// WebhookConfig says where webhooks, and the issuers of federated OAuth clients, may lead. Without it they lead to public networks, over TLS.
type WebhookConfig struct {
	AllowHTTP    bool     `yaml:"allow_http" env:"ALLOW_HTTP"`                 // also http://; without it to this machine alone
	AllowPrivate []string `yaml:"allow_private,omitempty" env:"ALLOW_PRIVATE"` // addresses or CIDRs that are not public and may be reached even so
}

// SecretsConfig names the keys that seal secrets at rest.
type SecretsConfig struct {
	KeyFile string `yaml:"key_file" env:"KEY_FILE"` // mode 0600; made when it is first needed; default secrets.key in the data folder
	Key     Secret `yaml:"-" env:"KEY"`             // the text of a key file, in its place: from the environment alone
}

// Secret is a setting that is never printed.
type Secret string

const redacted = "(redacted)"

// Format keeps the secret out of every verb of fmt.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		fmt.Fprint(f, redacted)
	}
}

// MarshalText keeps the secret out of JSON, YAML and logs.
func (s Secret) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }

// LogValue keeps the secret out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// Source names where a configuration comes from. Later sources win: defaults, File, Environ, Flags.
type Source struct {
	File    string        // YAML; empty: none
	Environ []string      // as os.Environ gives it
	Flags   func(*Config) // sets what the command line says; nil: nothing
}

// ConfigError lists everything that is wrong with a configuration, not just the first.
type ConfigError struct{ Problems []string }

func (e *ConfigError) Error() string {
	if len(e.Problems) == 1 {
		return "configuration: " + e.Problems[0]
	}
	return "configuration:\n  " + strings.Join(e.Problems, "\n  ")
}

// LoadConfig reads a configuration with its defaults filled in. The error is a *ConfigError.
func LoadConfig(s Source) (Config, error) {
	var c Config
	problems := c.readFile(s.File)
	problems = append(problems, c.readEnviron(s.Environ)...)
	if s.Flags != nil {
		s.Flags(&c)
	}
	c = c.orDefaults()
	if problems = append(problems, c.problems()...); len(problems) > 0 {
		return c, &ConfigError{problems}
	}
	return c, nil
}

func (c *Config) readFile(name string) []string {
	if name == "" {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return []string{err.Error()}
	}
	defer f.Close() //nolint:errcheck // it was only read
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	err = d.Decode(c)
	var types *yaml.TypeError
	switch {
	case err == nil, errors.Is(err, io.EOF): // an empty file is all defaults
	case errors.As(err, &types):
		return slices.Collect(func(yield func(string) bool) {
			for _, e := range types.Errors {
				if !yield(name + ": " + unknownKey(e)) {
					return
				}
			}
		})
	default:
		return []string{name + ": " + err.Error()}
	}
	if err == nil && d.Decode(new(any)) == nil {
		return []string{name + ": more than one document"}
	}
	return nil
}

// unknownKey says in the words of the file what the decoder says in those of Go.
func unknownKey(text string) string {
	line, key, ok := strings.Cut(text, ": field ")
	key, _, found := strings.Cut(key, " not found in type ")
	if !ok || !found {
		return text
	}
	return line + ": unknown key " + key
}

func (c *Config) readEnviron(environ []string) (problems []string) {
	vars := env.ToMap(environ)
	for name, value := range vars {
		if value == "" { // an empty variable is one that is not set
			delete(vars, name)
		}
	}
	err := env.ParseWithOptions(c, env.Options{Prefix: EnvPrefix, Environment: vars})
	var all env.AggregateError
	var one env.ParseError
	switch {
	case err == nil:
	case errors.As(err, &all):
		for _, e := range all.Errors {
			if errors.As(e, &one) {
				problems = append(problems, fmt.Sprintf("%s: %v", variable(reflect.TypeFor[Config](), one.Name, EnvPrefix), plain(one.Err)))
				continue
			}
			problems = append(problems, "environment: "+e.Error())
		}
	default:
		problems = append(problems, "environment: "+err.Error())
	}
	return problems
}

// variable finds the name of the environment variable of a field.
func variable(t reflect.Type, field, prefix string) string {
	for f := range t.Fields() {
		if nested, ok := f.Tag.Lookup("envPrefix"); ok {
			if name := variable(f.Type, field, prefix+nested); name != "" {
				return name
			}
		} else if f.Name == field {
			return prefix + f.Tag.Get("env")
		}
	}
	return ""
}

// plain takes the name of the Go function out of the error of a number.
func plain(err error) string {
	var n *strconv.NumError
	if errors.As(err, &n) {
		return fmt.Sprintf("%q: %v", n.Num, n.Err)
	}
	return err.Error()
}

func (c Config) orDefaults() Config {
	c.Data = cmp.Or(c.Data, "data")
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:8080")
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	c.StopTimeout = cmp.Or(c.StopTimeout, 10*time.Second)
	c.Log.Level = cmp.Or(c.Log.Level, "info")
	c.Log.Format = cmp.Or(c.Log.Format, "auto")
	l := &c.Limits
	l.BodyBytes = cmp.Or(l.BodyBytes, 1<<20)
	l.JSONDepth = cmp.Or(l.JSONDepth, 32)
	l.FilterLength = cmp.Or(l.FilterLength, 2048)
	l.FilterDepth = cmp.Or(l.FilterDepth, 10)
	l.FilterTerms = cmp.Or(l.FilterTerms, 50)
	l.PatchOperations = cmp.Or(l.PatchOperations, 500)
	l.PatchMembers = cmp.Or(l.PatchMembers, 1000)
	l.BulkOperations = cmp.Or(l.BulkOperations, 100)
	l.BulkBytes = cmp.Or(l.BulkBytes, 1<<20)
	l.PageDefault = cmp.Or(l.PageDefault, 100)
	l.PageMax = cmp.Or(l.PageMax, 200)
	l.HeaderBytes = cmp.Or(l.HeaderBytes, 16<<10)
	l.HeaderCount = cmp.Or(l.HeaderCount, 100)
	l.RequestsPerSecond = cmp.Or(l.RequestsPerSecond, 500)
	l.Burst = cmp.Or(l.Burst, 1000)
	t := &c.Timeouts
	t.ReadHeader = cmp.Or(t.ReadHeader, 5*time.Second)
	t.Read = cmp.Or(t.Read, 30*time.Second)
	t.Write = cmp.Or(t.Write, 30*time.Second)
	t.Idle = cmp.Or(t.Idle, 120*time.Second)
	p := &c.Pull
	p.Interval = cmp.Or(p.Interval, 15*time.Minute)
	p.Deadline = cmp.Or(p.Deadline, min(10*time.Minute, p.Interval*2/3))
	p.SilentAfter = cmp.Or(p.SilentAfter, 2*time.Hour)
	p.KeepDays = cmp.Or(p.KeepDays, 90)
	p.Tenants = cmp.Or(p.Tenants, 4)
	c.Session.Life = cmp.Or(c.Session.Life, directory.SessionLife)
	m := &c.SMTP
	m.TLS = cmp.Or(m.TLS, "starttls")
	m.Timeout = cmp.Or(m.Timeout, 30*time.Second)
	if m.Port == 0 {
		m.Port = 587
		if m.TLS == "implicit" {
			m.Port = 465
		}
	}
	return c
}

// problems lists what is wrong with a configuration whose defaults are filled in.
func (c *Config) problems() (all []string) {
	bad := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	address := func(name, value string) {
		host, port, err := net.SplitHostPort(value)
		if err != nil || host != "" && strings.ContainsAny(host, " /") {
			bad("%s: %q is not HOST:PORT", name, value)
		} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			bad("%s: %q is not a port", name, port)
		}
	}
	address("listen", c.Listen)
	if c.MetricsListen != "" {
		address("metrics_listen", c.MetricsListen)
		if c.MetricsListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
			bad("metrics_listen: must be another address than listen")
		}
	}
	if c.BaseURL != "" && !plainURL(c.BaseURL) {
		bad("base_url: %q is not of the form https://HOST", c.BaseURL)
	}
	for _, p := range c.TrustedProxies {
		if _, err := parsePrefix(p); err != nil {
			bad("trusted_proxies: %q is neither an address nor a CIDR", p)
		}
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		bad("log.level: %q is not one of debug, info, warn, error", c.Log.Level)
	}
	if !slices.Contains([]string{"auto", "text", "json"}, c.Log.Format) {
		bad("log.format: %q is not one of auto, text, json", c.Log.Format)
	}
	between := func(name string, value, least, most int64) {
		if value < least || value > most {
			bad("%s: %d is not between %d and %d", name, value, least, most)
		}
	}
	l := c.Limits
	between("limits.body_bytes", l.BodyBytes, 1<<10, 1<<30)
	between("limits.json_depth", int64(l.JSONDepth), 4, 1000)
	between("limits.filter_length", int64(l.FilterLength), 64, 1<<16)
	between("limits.filter_depth", int64(l.FilterDepth), 1, 100)
	between("limits.filter_terms", int64(l.FilterTerms), 1, 1000)
	between("limits.patch_operations", int64(l.PatchOperations), 1, 10_000)
	between("limits.patch_members", int64(l.PatchMembers), 1, 100_000)
	between("limits.bulk_operations", int64(l.BulkOperations), 1, 1000)
	between("limits.bulk_bytes", l.BulkBytes, 1<<10, 1<<30)
	between("limits.page_default", int64(l.PageDefault), 1, 1000)
	between("limits.page_max", int64(l.PageMax), 1, 1000)
	if l.PageDefault > l.PageMax {
		bad("limits.page_default: %d is more than limits.page_max (%d)", l.PageDefault, l.PageMax)
	}
	between("limits.header_bytes", int64(l.HeaderBytes), 4<<10, 1<<20)
	between("limits.header_count", int64(l.HeaderCount), 10, 10_000)
	between("limits.requests_per_second", int64(l.RequestsPerSecond), directory.MinRequestsPerSecond, directory.MaxRequestsPerSecond)
	between("limits.burst", int64(l.Burst), directory.MinRequestsPerSecond, directory.MaxRequestsPerSecond)
	time := func(name string, value, least, most time.Duration) {
		if value < least || value > most {
			bad("%s: %s is not between %s and %s", name, value, least, most)
		}
	}
	const second = 1e9
	t := c.Timeouts
	time("timeouts.read_header", t.ReadHeader, second/10, 600*second)
	time("timeouts.read", t.Read, second/10, 3600*second)
	time("timeouts.write", t.Write, second/10, 3600*second)
	time("timeouts.idle", t.Idle, second/10, 3600*second)
	time("drain_delay", c.DrainDelay, 0, 600*second)
	time("stop_timeout", c.StopTimeout, second/10, 600*second)
	p := c.Pull
	time("pull.interval", p.Interval, second, 24*3600*second)
	time("pull.deadline", p.Deadline, 1, 24*3600*second)
	if p.Deadline >= p.Interval {
		bad("pull.deadline: %s is not less than pull.interval (%s)", p.Deadline, p.Interval)
	}
	time("pull.silent_after", p.SilentAfter, 60*second, 30*24*3600*second)
	between("pull.keep_days", int64(p.KeepDays), 1, 3650)
	if _, err := c.Webhooks.policy(); err != nil {
		bad("webhooks.allow_private: %v", err)
	}
	between("pull.tenants", int64(p.Tenants), 1, 64)
	if _, err := c.roots(); err != nil {
		bad("ca_file: %v", err)
	}
	time("session.life", c.Session.Life, 10*second, directory.SessionLife)
	if c.Session.IdleLimit != 0 {
		time("session.idle", c.Session.IdleLimit, 60*second, directory.SessionLife)
	}
	if u := c.BizzStreamURL; u != "" && !plainURL(u) {
		bad("bizzstream_url: %q is not of the form https://HOST/PATH", u)
	}
	return append(append(all, c.SMTP.problems()...), upstreamProblems(c.Upstreams)...)
}

// Warnings lists settings that work and that somebody should know of. The rule: what lets others
// read the data is refused (see the data folder in New); what only may do harm, depending on what
// stands in front of the server, is a warning.
func (c Config) Warnings() (all []string) {
	c = c.orDefaults()
	if !loopbackAddress(c.Listen) && len(c.TrustedProxies) == 0 {
		all = append(all, "listening on "+c.Listen+" without TLS: tokens cross the network in the clear unless a proxy in front ends TLS; name it in trusted_proxies, or listen on 127.0.0.1")
	}
	if strings.HasPrefix(c.BaseURL, "http:") && !loopbackAddress(strings.TrimPrefix(c.BaseURL, "http://")) {
		all = append(all, "base_url is not https: Entra refuses it, tokens cross the network in the clear, and no browser keeps a session")
	}
	if c.BaseURL == "" && (len(c.TrustedProxies) > 0 || !loopbackAddress(c.Listen)) {
		all = append(all, "base_url is not set: absolute locations follow the Host header that each client sends, and who signs in is sent back to "+localURL(c.Listen)+", which mails and assertions name too")
	}
	if len(c.Upstreams) > 0 && len(c.TrustedProxies) == 0 {
		all = append(all, "upstreams are set but no trusted_proxies: /auth/verify answers only a proxy that is named there")
	}
	if c.SMTP.Host != "" && c.SMTP.TLS == "none" && !loopbackAddress(c.SMTP.Host) {
		all = append(all, "smtp.tls is none: password links cross the network in the clear")
	}
	if c.MetricsListen != "" && !loopbackAddress(c.MetricsListen) {
		all = append(all, "metrics are open to everyone who reaches "+c.MetricsListen)
	}
	if c.Pull.Interval < 5*time.Minute {
		all = append(all, "pull.interval is "+c.Pull.Interval.String()+": Microsoft Graph slows down who asks that often")
	}
	if c.Secrets.Key != "" {
		// Who lost a key must still be able to serve: what cannot be opened says so when it is needed.
		if _, err := vault.Parse(string(c.Secrets.Key)); err != nil {
			all = append(all, EnvPrefix+"SECRETS_KEY cannot be used, nothing that is sealed can be opened: "+strings.TrimPrefix(err.Error(), "vault: "))
		}
	}
	for _, p := range c.TrustedProxies {
		if prefix, err := parsePrefix(p); err == nil && prefix.Bits() == 0 {
			all = append(all, "trusted_proxies trusts everybody ("+p+"): any client can claim to be another address or host")
		}
	}
	return all
}

// plainURL reports whether a text is an http or https URL of a host, without user, query or fragment.
func plainURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func (m *SMTPConfig) problems() (all []string) {
	if m.Host == "" {
		return nil
	}
	if strings.ContainsAny(m.Host, ":/ @") && net.ParseIP(m.Host) == nil {
		all = append(all, fmt.Sprintf("smtp.host: %q is not a host name", m.Host))
	}
	if m.Port < 1 || m.Port > 65535 {
		all = append(all, fmt.Sprintf("smtp.port: %d is not a port", m.Port))
	}
	if _, err := mail.ParseAddress(m.From); err != nil {
		all = append(all, fmt.Sprintf("smtp.from: %q is not an address to send from", m.From))
	}
	if !slices.Contains([]string{"starttls", "implicit", "none"}, m.TLS) {
		all = append(all, fmt.Sprintf("smtp.tls: %q is not one of starttls, implicit, none", m.TLS))
	}
	if m.TLS == "none" && m.User != "" {
		all = append(all, "smtp.tls: a password is not sent without TLS")
	}
	if m.Timeout < time.Second || m.Timeout > 10*time.Minute {
		all = append(all, fmt.Sprintf("smtp.timeout: %s is not between 1s and 10m", m.Timeout))
	}
	return all
}

var upstreamName = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

func upstreamProblems(upstreams []Upstream) (all []string) {
	names := map[string]bool{}
	for i, u := range upstreams {
		at := fmt.Sprintf("upstreams[%d]", i)
		if !upstreamName.MatchString(u.Name) {
			all = append(all, fmt.Sprintf("%s.name: %q is part of a URL: 1 to 63 of a-z, 0-9 and hyphen", at, u.Name))
		}
		if names[u.Name] {
			all = append(all, fmt.Sprintf("%s.name: %q is there twice", at, u.Name))
		}
		names[u.Name] = true
		if strings.TrimSpace(u.Audience) == "" {
			all = append(all, at+".audience: it is needed, so that no other application takes the assertion for its own")
		}
		if _, ok := directory.ParseID(u.Environment); u.Environment != "" && !ok {
			all = append(all, fmt.Sprintf("%s.environment: %q is not the id of an environment", at, u.Environment))
		}
	}
	return all
}

// roots are the system's certificates and those of CAFile; nil: the system's alone.
func (c *Config) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil // no pool is what means the system's to crypto/tls
	}
	text, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", c.CAFile)
	}
	return pool, nil
}

// UnknownEnviron lists variables of our prefix that mean nothing, for a warning: they may be
// typing mistakes. They are no errors, because an orchestrator sets some of its own (a Kubernetes
// service of our name makes BIZZSCIM_PORT). known are names beyond the configuration's.
func UnknownEnviron(environ []string, known ...string) (names []string) {
	params, err := env.GetFieldParamsWithOptions(&Config{}, env.Options{Prefix: EnvPrefix})
	if err != nil {
		return nil
	}
	for _, p := range params {
		known = append(known, p.Key)
	}
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		if rest, ok := strings.CutPrefix(name, EnvPrefix); ok && !slices.Contains(known, name) &&
			!strings.HasPrefix(rest, "PORT") && !strings.HasPrefix(rest, "SERVICE_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// WriteYAML writes a configuration, with its defaults, in the form of the file.
func (c Config) WriteYAML(w io.Writer) error {
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(c.orDefaults()); err != nil {
		return err
	}
	return e.Close()
}

// parsePrefix reads a CIDR or a single address.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().Prefix(addr.Unmap().BitLen())
	}
	p, err := netip.ParsePrefix(s)
	if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
		return p.Addr().Unmap().Prefix(p.Bits() - 96)
	}
	return p, err
}

// loopbackAddress reports whether HOST or HOST:PORT can only be reached from this machine.
func loopbackAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// logger makes the program's logger.
func (l LogConfig) logger(w io.Writer, terminal bool) *slog.Logger {
	var o slog.HandlerOptions
	var level slog.Level
	if level.UnmarshalText([]byte(l.Level)) == nil {
		o.Level = level
	}
	if l.Format == "text" || l.Format != "json" && terminal {
		return slog.New(slog.NewTextHandler(w, &o))
	}
	return slog.New(slog.NewJSONHandler(w, &o))
}

// NewLogger makes the logger that a configuration asks for.
func NewLogger(c Config, w io.Writer, terminal bool) *slog.Logger {
	return c.orDefaults().Log.logger(w, terminal)
}

// Map returns the configuration, with its defaults, as the file holds it.
func (c Config) Map() (map[string]any, error) {
	doc, err := yaml.Marshal(c.orDefaults())
	if err != nil {
		return nil, err
	}
	var m map[string]any
	err = yaml.Unmarshal(doc, &m)
	return m, err
}
