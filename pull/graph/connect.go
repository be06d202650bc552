package graph

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/graph/reader"
)

// cloud is where one of Microsoft's clouds is. All that depends on the cloud stands here: the scope of
// tokens and the hosts that may see them follow from the address of Graph.
// Source: Microsoft Graph, "National cloud deployments".
type cloud struct {
	login string // authority host
	graph string // with the version
}

var clouds = map[pull.Cloud]cloud{
	pull.CloudPublic: {"https://login.microsoftonline.com/", "https://graph.microsoft.com/v1.0"},
	pull.CloudUSGov:  {"https://login.microsoftonline.us/", "https://graph.microsoft.us/v1.0"},
	pull.CloudDoD:    {"https://login.microsoftonline.us/", "https://dod-graph.microsoft.us/v1.0"},
	pull.CloudChina:  {"https://login.chinacloudapi.cn/", "https://microsoftgraph.chinacloudapi.cn/v1.0"},
}

// Connect is a pull.Connector for Microsoft Graph. The Source is a pull.Tester too.
func Connect(c pull.Connection) (pull.Source, error) {
	return connect(c, reader.NewTransport(c.Roots), reader.Sleep)
}

// connect is Connect with what tests replace: what requests go through, and how to wait.
func connect(c pull.Connection, transport http.RoundTripper, sleep func(context.Context, time.Duration) error) (pull.Source, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	login, base, err := addresses(c)
	if err != nil {
		return nil, err
	}
	for _, id := range []struct{ field, value, hint string }{
		{"the directory (tenant) id", c.DirectoryID, "Directory (tenant) ID"},
		{"the client id", c.ClientID, "Application (client) ID"},
	} {
		if !isGUID(id.value) {
			return nil, configuration("%s is not a GUID; copy the %s from the application's overview page in the Microsoft Entra admin center",
				id.field, id.hint)
		}
	}
	client := &reader.Client{Transport: transport, Now: c.Now, Meter: c.Meter, Wait: c.Wait, Sleep: sleep}
	token, err := newCredential(c, login, client)
	if err != nil {
		return nil, err
	}
	requests, err := newRequests(base, token, c.Scheduled)
	if err != nil {
		return nil, err
	}
	return reader.New(base, requests, client), nil
}

// addresses finds the authority host and Graph.
func addresses(c pull.Connection) (login string, graph *url.URL, err error) {
	where, known := clouds[c.Cloud]
	switch {
	case c.Cloud == pull.CloudCustom:
		where = cloud{c.LoginURL, c.GraphURL}
	case !known:
		return "", nil, configuration("%.50q is no cloud; it is one of public, usgov, usgov-dod, china, custom", string(c.Cloud))
	case c.LoginURL != "" || c.GraphURL != "":
		return "", nil, configuration("the login URL and the Graph URL are settings of the cloud custom alone; leave them empty for the cloud %s", c.Cloud)
	}
	l, err := address("login URL", where.login)
	if err != nil {
		return "", nil, err
	}
	if l.Path != "" {
		return "", nil, configuration("the login URL has a path; it is the authority host alone, such as https://login.example/")
	}
	graph, err = address("Graph URL", where.graph)
	if err != nil {
		return "", nil, err
	}
	if graph.Path == "" {
		return "", nil, configuration("the Graph URL lacks the version, as in https://graph.example/v1.0")
	}
	return l.String() + "/", graph, nil
}

// address checks a URL. Its path has no slash at the end.
func address(field, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return nil, configuration("the %s is missing; the cloud custom needs it", field)
	case err != nil || u.Host == "" || u.Hostname() == "":
		return nil, configuration("the %s is not a URL such as https://host.example/", field)
	case u.Scheme != "https":
		return nil, configuration("the %s must begin with https://", field)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(s, "#"):
		return nil, configuration("the %s has a user, a query or a fragment; leave them out", field)
	case u.Path != strings.TrimSuffix(u.EscapedPath(), "/") && u.Path != u.EscapedPath() || strings.Contains(u.Path, "//") || strings.Contains(u.Path, "/."):
		return nil, configuration("the path of the %s is not a plain one", field)
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: strings.TrimSuffix(u.Path, "/")}, nil
}

// isGUID reports whether s is a GUID in its usual form.
func isGUID(s string) bool {
	return len(s) == 36 && uuid.Validate(s) == nil
}

// configuration is the error for a setting that cannot be right.
func configuration(format string, args ...any) error {
	return &pull.Error{Class: pull.Configuration, Detail: fmt.Sprintf(format, args...)}
}
