package graph

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/entrasim"
	"github.com/bizzstream/bizzscim/pull"
)

const (
	someID  = "11111111-2222-4333-8444-555555555555"
	otherID = "66666666-7777-4888-9999-aaaaaaaaaaaa"
)

// record is a transport that remembers where requests go, and lets none through.
type record struct{ hosts []string }

func (r *record) RoundTrip(req *http.Request) (*http.Response, error) {
	r.hosts = append(r.hosts, req.URL.Host)
	return nil, errors.New("not let through")
}

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// TestClouds: each cloud has its own authority and its own Graph, and a token for one is asked for nowhere else.
func TestClouds(t *testing.T) {
	for cloud, want := range map[pull.Cloud]struct{ login, graph string }{
		pull.CloudPublic: {"login.microsoftonline.com", "https://graph.microsoft.com/v1.0"},
		pull.CloudUSGov:  {"login.microsoftonline.us", "https://graph.microsoft.us/v1.0"},
		pull.CloudDoD:    {"login.microsoftonline.us", "https://dod-graph.microsoft.us/v1.0"},
		pull.CloudChina:  {"login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn/v1.0"},
		pull.CloudCustom: {"login.own.example:8443", "https://graph.own.example/api/v1.0"},
	} {
		t.Run(string(cloud), func(t *testing.T) {
			c := pull.Connection{DirectoryID: someID, Cloud: cloud, ClientID: otherID, Kind: pull.ClientSecret, Secret: []byte("s3cret")}
			if cloud == pull.CloudCustom {
				c.LoginURL, c.GraphURL = "https://Login.own.example:8443/", "https://graph.own.example/api/v1.0/"
			}
			login, base, err := addresses(c)
			if err != nil || login != "https://"+want.login+"/" || base.String() != want.graph {
				t.Errorf("authority %s, Graph %v, error %v; want %+v", login, base, err, want)
			}
			r := &record{}
			s, err := connect(c, r, noSleep)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.hosts) != 0 {
				t.Errorf("Connect spoke to %v", r.hosts)
			}
			_, err = s.Group(t.Context(), theGroup)
			if pull.ClassOf(err) != pull.Unavailable || len(r.hosts) == 0 {
				t.Errorf("error %v after requests to %v", err, r.hosts)
			}
			for _, host := range r.hosts {
				if host != want.login {
					t.Errorf("a request went to %s, want the authority %s", host, want.login)
				}
			}
			requests, err := newRequests(base, nil, false)
			if err != nil || len(requests.scopes) != 1 || requests.scopes[0] != "https://"+base.Host+"/.default" {
				t.Errorf("scopes %v, error %v", requests.scopes, err)
			}
		})
	}
}

func TestSettingsThatCannotBeRight(t *testing.T) {
	good := pull.Connection{DirectoryID: someID, Cloud: pull.CloudPublic, ClientID: otherID, Kind: pull.ClientSecret, Secret: []byte("s3cret")}
	if _, err := Connect(good); err != nil {
		t.Fatalf("good settings: %v", err)
	}
	custom := good
	custom.Cloud, custom.LoginURL, custom.GraphURL = pull.CloudCustom, "https://login.example/", "https://graph.example/v1.0"
	if _, err := Connect(custom); err != nil {
		t.Fatalf("good settings of a custom cloud: %v", err)
	}
	for name, test := range map[string]struct {
		base   pull.Connection
		change func(*pull.Connection)
		says   string
	}{
		"no directory id":          {good, func(c *pull.Connection) { c.DirectoryID = "" }, "directory (tenant) id"},
		"a domain for an id":       {good, func(c *pull.Connection) { c.DirectoryID = "nordwind.example" }, "directory (tenant) id"},
		"common":                   {good, func(c *pull.Connection) { c.DirectoryID = "common" }, "directory (tenant) id"},
		"an id in braces":          {good, func(c *pull.Connection) { c.DirectoryID = "{" + someID + "}" }, "directory (tenant) id"},
		"an id with a prefix":      {good, func(c *pull.Connection) { c.DirectoryID = "urn:uuid:" + someID }, "directory (tenant) id"},
		"no client id":             {good, func(c *pull.Connection) { c.ClientID = "" }, "client id"},
		"a name for a client id":   {good, func(c *pull.Connection) { c.ClientID = "bizzscim" }, "client id"},
		"no cloud":                 {good, func(c *pull.Connection) { c.Cloud = "" }, "public, usgov"},
		"an unknown cloud":         {good, func(c *pull.Connection) { c.Cloud = "germany" }, "public, usgov"},
		"a URL of another cloud":   {good, func(c *pull.Connection) { c.GraphURL = "https://graph.example/v1.0" }, "custom alone"},
		"a login URL too many":     {good, func(c *pull.Connection) { c.LoginURL = "https://login.example/" }, "custom alone"},
		"no login URL":             {custom, func(c *pull.Connection) { c.LoginURL = "" }, "login URL is missing"},
		"no Graph URL":             {custom, func(c *pull.Connection) { c.GraphURL = "" }, "Graph URL is missing"},
		"login without TLS":        {custom, func(c *pull.Connection) { c.LoginURL = "http://login.example/" }, "https://"},
		"Graph without TLS":        {custom, func(c *pull.Connection) { c.GraphURL = "http://127.0.0.1/v1.0" }, "https://"},
		"no URL at all":            {custom, func(c *pull.Connection) { c.GraphURL = "graph.example" }, "not a URL"},
		"a URL that is broken":     {custom, func(c *pull.Connection) { c.GraphURL = "https://%zz/" }, "not a URL"},
		"a URL without a host":     {custom, func(c *pull.Connection) { c.GraphURL = "https://:443/v1.0" }, "not a URL"},
		"a user in the URL":        {custom, func(c *pull.Connection) { c.GraphURL = "https://me:pw@graph.example/v1.0" }, "Graph URL has a user"},
		"a query in the URL":       {custom, func(c *pull.Connection) { c.GraphURL = "https://graph.example/v1.0?x=1" }, "a query"},
		"an empty query":           {custom, func(c *pull.Connection) { c.LoginURL = "https://login.example/?" }, "a query"},
		"a fragment in the URL":    {custom, func(c *pull.Connection) { c.GraphURL = "https://graph.example/v1.0#x" }, "a fragment"},
		"an empty fragment":        {custom, func(c *pull.Connection) { c.GraphURL = "https://graph.example/v1.0#" }, "a fragment"},
		"no version":               {custom, func(c *pull.Connection) { c.GraphURL = "https://graph.example/" }, "version"},
		"a path at the authority":  {custom, func(c *pull.Connection) { c.LoginURL = "https://login.example/" + someID }, "path"},
		"dots in the path":         {custom, func(c *pull.Connection) { c.GraphURL = "https://graph.example/x/../v1.0" }, "plain"},
		"escapes in the path":      {custom, func(c *pull.Connection) { c.GraphURL = "https://graph.example/v1%2E0" }, "plain"},
		"two slashes in the path":  {custom, func(c *pull.Connection) { c.GraphURL = "https://graph.example//v1.0" }, "plain"},
		"no kind":                  {good, func(c *pull.Connection) { c.Kind = "" }, "secret, certificate, federated"},
		"an unknown kind":          {good, func(c *pull.Connection) { c.Kind = "password" }, "secret, certificate, federated"},
		"no secret":                {good, func(c *pull.Connection) { c.Secret = nil }, "client secret is missing"},
		"a secret of white space":  {good, func(c *pull.Connection) { c.Secret = []byte(" \n") }, "client secret is missing"},
		"no token file":            {good, func(c *pull.Connection) { c.Kind = pull.WorkloadIdentity }, "token file is missing"},
		"a certificate that is no": {good, func(c *pull.Connection) { c.Kind = pull.Certificate }, "certificate is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			c := test.base
			test.change(&c)
			s, err := Connect(c)
			var e *pull.Error
			if !errors.As(err, &e) || e.Class != pull.Configuration || !strings.Contains(e.Detail, test.says) || s != nil {
				t.Errorf("error %v, want Configuration and %q", err, test.says)
			}
			if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "me:pw")) {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

// TestConnectIsAConnector: the exported one, with its own transport, works and is a Tester.
func TestConnectIsAConnector(t *testing.T) {
	s := sales(t, 3)
	s.Now = nil // the wall clock
	var connector pull.Connector = Connect
	source, err := connector(s.Connection)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if r := source.(pull.Tester).Test(t.Context(), []string{theGroup}); !r.OK() {
		t.Errorf("report %+v", r)
	}
	if people, _, err := read(source); err != nil || len(people) != 3 {
		t.Errorf("%d people, error %v", len(people), err)
	}
}

// TestUntrustedAuthority: with the system's roots alone, the simulation is a stranger.
func TestUntrustedAuthority(t *testing.T) {
	s := sales(t, 3)
	s.Roots = nil
	_, err := s.open(t).Group(t.Context(), theGroup)
	if pull.ClassOf(err) != pull.Configuration || !strings.Contains(err.Error(), "certificate authority") || len(s.slept) != 0 {
		t.Errorf("error %v", err)
	}
}

// TestWrongCloudOrURL: what a mistake in the settings looks like, each with the setting to look at.
func TestWrongCloudOrURL(t *testing.T) {
	other := newSim(t, entrasim.New(entrasim.Options{Seed: 7}))
	for name, test := range map[string]struct {
		change func(*sim)
		want   pull.Class
		says   string
	}{
		"another directory":       {func(s *sim) { s.DirectoryID = otherID }, pull.Authentication, "directory (tenant) id"},
		"another application":     {func(s *sim) { s.ClientID = otherID }, pull.Authentication, "client id"},
		"Graph of another cloud":  {func(s *sim) { s.GraphURL = strings.Replace(s.GraphURL, "127.0.0.1", "localhost", 1) }, pull.Authentication, "Graph URL"},
		"a version that is not":   {func(s *sim) { s.GraphURL = strings.Replace(s.GraphURL, "v1.0", "v9", 1) }, pull.Unavailable, "URL"},
		"the authority elsewhere": {func(s *sim) { s.Connection.LoginURL, s.Roots = other.Graph.LoginURL(), other.Roots }, pull.Authentication, "directory (tenant) id"},
	} {
		t.Run(name, func(t *testing.T) {
			s := sales(t, 3)
			test.change(s)
			_, err := s.open(t).Group(t.Context(), theGroup)
			var e *pull.Error
			if !errors.As(err, &e) || e.Class != test.want || !strings.Contains(e.Detail, test.says) {
				t.Errorf("error %v, want %s and %q", err, test.want, test.says)
			}
		})
	}
}
