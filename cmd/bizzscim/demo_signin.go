package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/entrasim"
)

// demoSignedIn is how many people the demo keeps signed in.
const demoSignedIn = 12

// demoSession is somebody who is signed in, with a browser of their own.
type demoSession struct {
	id, name string // of the person in the directory
	cookies  []*http.Cookie
	until    time.Time
}

// connectSignIn gives the tenant an application that signs its people in.
func (d *demo) connectSignIn(ctx context.Context) error {
	a := d.graph.App("")
	a.SignIn(entrasim.SignInSettings{RedirectURIs: []string{d.url + "/auth/callback", d.url + "/signed-out"},
		OptionalClaims: []string{entrasim.ClaimSID, entrasim.ClaimLoginHint}})
	client, label, domains := a.ClientID(), "Nordwind", []string{d.tenant.Domain()}
	change := app.TenantChange{Ref: demoTenant, TrustedDomains: &domains, SignIn: app.SignInChange{ClientID: &client, Label: &label}}
	if _, err := app.Call(ctx, d.client, app.TenantSet, change); err != nil {
		return err
	}
	ends := time.Now().Add(simSecretLife)
	_, err := app.Call(ctx, d.client, app.CredentialSet, app.CredentialInput{Tenant: demoTenant, For: "sign-in", Secret: a.NewSecret(ends), Expires: ends.Format(time.RFC3339)})
	return err
}

// people sees who is out since the last look, and signs others in in their place.
func (d *demo) people(ctx context.Context, c *demoCycle) error {
	still := d.sessions[:0]
	for _, s := range d.sessions {
		out, err := d.whoIs(ctx, s)
		switch {
		case err != nil:
			return err
		case out != "":
			c.signedOut = append(c.signedOut, fmt.Sprintf("%s is out at the next request: %s", s.name, out))
		default:
			still = append(still, s)
		}
	}
	d.sessions = still
	for _, u := range d.tenant.Snapshot().Users {
		if len(d.sessions) == demoSignedIn {
			break
		}
		if !u.AccountEnabled || u.Deleted() || slices.ContainsFunc(d.sessions, func(s *demoSession) bool { return s.id == u.ID }) {
			continue
		}
		s, err := d.signIn(ctx, u)
		if err != nil {
			return err
		}
		if s == nil { // who has no access is told so
			continue
		}
		d.sessions = append(d.sessions, s)
		c.signedIn = append(c.signedIn, s.name)
	}
	return nil
}

// signIn is what a person's browser does; nil when they are not let in.
func (d *demo) signIn(ctx context.Context, u entrasim.User) (*demoSession, error) {
	login := d.url + "/login/environment/" + d.ids[0]
	_, header, attempt, err := d.get(ctx, login, nil)
	if err != nil {
		return nil, err
	}
	b := d.graph.Browser()
	defer b.Close()
	back, err := b.SignIn(ctx, header.Get("Location"), u.UserPrincipalName)
	if err != nil {
		return nil, err
	}
	if back.URL == nil {
		return nil, fmt.Errorf("the directory shows a page instead of coming back: AADSTS%d", back.Number)
	}
	status, _, cookies, err := d.get(ctx, back.URL.String(), attempt)
	if err != nil || status != http.StatusSeeOther {
		return nil, err
	}
	s := &demoSession{id: u.ID, name: clean(u.DisplayName), cookies: cookies}
	if out, err := d.whoIs(ctx, s); err != nil || out != "" {
		return nil, errors.Join(err, fmt.Errorf("%s has signed in and is out at once: %s", s.name, out))
	}
	return s, nil
}

// whoIs asks the server for a session, as an application beside it does, and why it has ended.
func (d *demo) whoIs(ctx context.Context, s *demoSession) (ended string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/auth/session", nil)
	if err != nil {
		return "", err
	}
	for _, c := range s.cookies {
		req.AddCookie(c)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		Reason  string `json:"reason"`
		Session struct {
			ExpiresAt time.Time `json:"expiresAt"`
		} `json:"session"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return "", err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		s.until = answer.Session.ExpiresAt
		return "", nil
	case http.StatusUnauthorized:
		return answer.Reason, nil
	}
	return "", fmt.Errorf("the server answers %s", resp.Status)
}

// get fetches an address without following where it leads.
func (d *demo) get(ctx context.Context, address string, cookies []*http.Cookie) (int, http.Header, []*http.Cookie, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, nil, err
	}
	for _, c := range cookies {
		req.AddCookie(c)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	live := slices.DeleteFunc(resp.Cookies(), func(c *http.Cookie) bool { return c.MaxAge < 0 })
	return resp.StatusCode, resp.Header, live, nil
}

func (d *demo) writePeople(w io.Writer, c *demoCycle) {
	lines := c.signedOut
	if len(c.signedIn) > 0 {
		text := strings.Join(c.signedIn, ", ")
		if len(d.sessions) > 0 {
			text += " until " + d.sessions[len(d.sessions)-1].until.Local().Format("15:04")
		}
		lines = append(lines, "signed in: "+text)
	}
	for i, line := range lines {
		fmt.Fprintf(w, "  %-10s %s\n", first(i, "sessions"), line)
	}
}
