package entrasim

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Browser is a person's browser without a window: it signs people in and out over HTTP, as a test would have to with the
// pages of the provider. It has a cookie jar of its own, so two browsers know nothing of each other. It may be used by
// several goroutines, as a browser has several tabs.
type Browser struct {
	g *Graph
	// Client has the cookies and trusts the authority of the [Graph]; it follows no redirect. It can be used for other
	// sites too, such as the application itself.
	Client *http.Client
	frames *http.Client // without cookies: frames of other sites get none that are SameSite=Lax
}

// Outcome is where a visit at the provider ended.
type Outcome struct {
	// URL is where the provider has sent the browser: to the application, with code and state or with error in the query
	// (or fragment). It has not been fetched. nil: the browser shows a page of the provider.
	URL *url.URL
	// Form is what a page of the provider makes the browser post to URL, with response_mode=form_post; else nil.
	Form url.Values
	// Page is what the page of the provider is: "sign-in", "consent", "error", "signed-out" and so on; HTML is its text.
	Page, HTML string
	// Number is that of the AADSTS error on the page, 0 when there is none.
	Number int
	// Frames are the addresses that were called to sign out of applications, with the status of the answer.
	Frames map[string]int
}

// Values are what the application gets: the query or the fragment of URL, or Form.
func (o Outcome) Values() url.Values {
	switch {
	case o.Form != nil:
		return o.Form
	case o.URL == nil:
		return url.Values{}
	case o.URL.Fragment != "":
		v, _ := url.ParseQuery(o.URL.EscapedFragment())
		return v
	}
	return o.URL.Query()
}

// Browser opens a new browser.
func (g *Graph) Browser() *Browser {
	client, frames := g.Client(), g.Client()
	client.Jar, _ = cookiejar.New(nil) // which cannot fail
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.CheckRedirect, frames.CheckRedirect = stay, stay
	return &Browser{g: g, Client: client, frames: frames}
}

// Close closes the connections that the browser keeps.
func (b *Browser) Close() {
	b.Client.CloseIdleConnections()
	b.frames.CloseIdleConnections()
}

// Open goes to an address of the provider and does nothing there. It is single sign-on when somebody is signed in.
func (b *Browser) Open(ctx context.Context, address string) (Outcome, error) {
	return b.visit(ctx, http.MethodGet, address, nil)
}

// SignIn goes to the address of an authorization request, signs a person in and accepts what the application asks for.
// The name is what is typed: a user principal name or a guest's mail address; an object id stands for that person's. If
// somebody is signed in already, and the provider does not ask, nobody is typed.
func (b *Browser) SignIn(ctx context.Context, address, name string) (Outcome, error) {
	o, err := b.SignInTo(ctx, address, name)
	if err != nil || o.Page != consentPage {
		return o, err
	}
	return b.press(ctx, o, "consent", firstMatch(consentValue, o.HTML))
}

// Decline is SignIn by somebody who does not accept.
func (b *Browser) Decline(ctx context.Context, address, name string) (Outcome, error) {
	o, err := b.SignInTo(ctx, address, name)
	if err != nil || o.Page != consentPage {
		return o, err
	}
	return b.press(ctx, o, "cancel", "1")
}

// Cancel goes to the address of an authorization request and gives up at the first page.
func (b *Browser) Cancel(ctx context.Context, address string) (Outcome, error) {
	o, err := b.Open(ctx, address)
	if err != nil || o.Page != signInPage && o.Page != consentPage {
		return o, err
	}
	return b.press(ctx, o, "cancel", "1")
}

// SignInTo is SignIn up to what comes after the name: the consent page, when there is one, stays open.
func (b *Browser) SignInTo(ctx context.Context, address, name string) (Outcome, error) {
	o, err := b.Open(ctx, address)
	if err != nil || o.Page != signInPage {
		return o, err
	}
	if u, ok := b.g.tenant.User(name); ok {
		name = u.UserPrincipalName
	}
	return b.press(ctx, o, "username", name)
}

// SignOut goes to the address of an end_session request; name says whom to sign out when the provider asks, as for
// SignIn. Applications are told as by the frames of the page.
func (b *Browser) SignOut(ctx context.Context, address, name string) (Outcome, error) {
	o, err := b.Open(ctx, address)
	if err != nil {
		return o, err
	}
	if o.Page == pickPage {
		u := b.g.tenant.person(name)
		if u == nil {
			u = b.g.tenant.find(name)
		}
		if u == nil {
			return o, fmt.Errorf("sign out of %s: %w", name, ErrNotFound)
		}
		if o, err = b.press(ctx, o, "account", u.ID); err != nil {
			return o, err
		}
	}
	if o.Page != signOutPage {
		return o, nil
	}
	o.Frames = make(map[string]int)
	for _, m := range frameSource.FindAllStringSubmatch(o.HTML, -1) {
		frame := html.UnescapeString(m[1])
		status, _, _, err := send(ctx, b.frames, http.MethodGet, frame, nil)
		if err != nil {
			return o, err
		}
		o.Frames[frame] = status
	}
	if next := firstMatch(continueLink, o.HTML); next != "" {
		if o.URL, err = url.Parse(next); err != nil {
			return o, fmt.Errorf("browser: %w", err)
		}
	}
	return o, nil
}

// What the browser has to see of the pages of op_pages.go.
var (
	pageName     = regexp.MustCompile(`<body data-page="([^"]*)"`)
	formAction   = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	hiddenInput  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	consentValue = regexp.MustCompile(`name="consent" value="([^"]*)"`)
	errorCode    = regexp.MustCompile(`id="error-code">AADSTS([0-9]+)<`)
	frameSource  = regexp.MustCompile(`<iframe src="([^"]*)"`)
	continueLink = regexp.MustCompile(`<a id="continue" class="main" href="([^"]*)"`)
)

func firstMatch(r *regexp.Regexp, s string) string {
	m := r.FindStringSubmatch(s)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// hidden are the fields of the forms of a page that nobody sees.
func hidden(page string) url.Values {
	v := url.Values{}
	for _, m := range hiddenInput.FindAllStringSubmatch(page, -1) {
		v.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return v
}

// press posts the form of a page with one field more.
func (b *Browser) press(ctx context.Context, o Outcome, field, value string) (Outcome, error) {
	v := hidden(o.HTML)
	v.Set(field, value)
	return b.visit(ctx, http.MethodPost, b.g.origin+firstMatch(formAction, o.HTML), v)
}

// maxHops is how many redirects within the provider a browser follows.
const maxHops = 10

// visit goes to an address, and on while the provider sends it to itself.
func (b *Browser) visit(ctx context.Context, method, address string, form url.Values) (Outcome, error) {
	for range maxHops {
		status, location, page, err := send(ctx, b.Client, method, address, form)
		switch {
		case err != nil:
			return Outcome{}, err
		case location == "":
			return read(status, page)
		case !strings.HasPrefix(location, b.g.origin+"/"):
			u, err := url.Parse(location)
			if err != nil {
				return Outcome{}, fmt.Errorf("browser: %w", err)
			}
			return Outcome{URL: u}, nil
		}
		method, address, form = http.MethodGet, location, nil
	}
	return Outcome{}, fmt.Errorf("browser: more than %d redirects", maxHops)
}

// read makes out what a page is.
func read(status int, page string) (Outcome, error) {
	o := Outcome{HTML: page, Page: firstMatch(pageName, page)}
	if o.Page == "" {
		return o, fmt.Errorf("browser: status %d and no page of the provider: %.200s", status, page)
	}
	o.Number, _ = strconv.Atoi(firstMatch(errorCode, page)) // 0 without one
	if o.Page != formPostPage {
		return o, nil
	}
	u, err := url.Parse(firstMatch(formAction, page))
	if err != nil {
		return o, fmt.Errorf("browser: %w", err)
	}
	o.URL, o.Form = u, hidden(page)
	return o, nil
}

// send makes one request. The location is absolute, and empty unless the answer is a redirect.
func send(ctx context.Context, client *http.Client, method, address string, form url.Values) (status int, location, page string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", "", fmt.Errorf("browser: %w", err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", "", fmt.Errorf("browser: %w", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, "", "", fmt.Errorf("browser: %w", err)
	}
	if to, err := res.Location(); err == nil {
		location = to.String()
	}
	return res.StatusCode, location, string(b), nil
}
