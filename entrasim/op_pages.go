package entrasim

import (
	"bytes"
	"html/template"
	"net/http"
	"strconv"
)

// maxListed is how many people the sign-in page offers; anybody else can be typed.
const maxListed = 50

// The pages, each named by its data-page. They work without a script, but for the two that go on by themselves and have
// a button for that.
const (
	signInPage   = "sign-in"
	consentPage  = "consent"
	errorPage    = "error"
	formPostPage = "form-post"
	pickPage     = "sign-out-pick"
	signOutPage  = "signed-out"
)

var pages = template.Must(template.New("pages").Parse(`
{{define "head"}}<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="none">
<title>{{.}}</title>
<style>
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #f0f2f5; color: #1b1b1b; font: 15px/1.5 "Segoe UI", system-ui, sans-serif }
main { box-sizing: border-box; width: min(440px, 100%); margin: 16px 0; padding: 44px; background: #fff; box-shadow: 0 2px 6px rgba(0, 0, 0, .2) }
h1 { margin: 0 0 12px; font-size: 24px; font-weight: 600 }
ul { margin: 0 -44px 16px; padding: 0; list-style: none; max-height: 320px; overflow-y: auto }
li button { width: 100%; padding: 10px 44px; border: 0; background: none; font: inherit; color: inherit; text-align: left; cursor: pointer }
li button:hover { background: #e6e6e6 }
li span { display: block; font-size: 13px; color: #5e5e5e; overflow-wrap: anywhere }
label { display: block; margin-bottom: 4px }
input { box-sizing: border-box; width: 100%; padding: 6px 4px; border: 0; border-bottom: 1px solid #666; font: inherit }
:focus-visible { outline: 2px solid #0067b8; outline-offset: 2px }
.buttons { display: flex; justify-content: flex-end; gap: 8px; margin-top: 24px }
.buttons button, .buttons a { min-width: 108px; padding: 5px 12px; border: 0; background: #ccc; color: #000; font: inherit; text-align: center; text-decoration: none; cursor: pointer }
.buttons .main { background: #0067b8; color: #fff }
.error { color: #c50f1f }
dl { font-size: 13px; overflow-wrap: anywhere }
dd { margin: 0 0 8px }
iframe { display: none }
</style>
</head>{{end}}

{{define "sign-in"}}{{template "head" "Sign in to your account"}}
<body data-page="sign-in">
<main>
<h1>{{if .Signed}}Pick an account{{else}}Sign in{{end}}</h1>
{{with .Error}}<p class="error" role="alert"><strong id="error-code">AADSTS{{.Number}}</strong> {{.Text}}</p>{{end}}
<form method="post" action="{{.Action}}">
<ul id="account">
{{range .Signed}}<li><button name="account" value="{{.UserPrincipalName}}" data-upn="{{.UserPrincipalName}}">{{.DisplayName}}<span>{{.UserPrincipalName}}</span><span>Signed in</span></button></li>
{{end}}{{range .People}}<li><button name="account" value="{{.UserPrincipalName}}" data-upn="{{.UserPrincipalName}}">{{.DisplayName}}<span>{{.UserPrincipalName}}</span></button></li>
{{end}}</ul>
</form>
<form method="post" action="{{.Action}}">
<label for="username">{{if or .Signed .People}}Or another account: email{{else}}Email{{end}}, phone or user name</label>
<input id="username" name="username" value="{{.Name}}" autocomplete="username" autocapitalize="none" spellcheck="false" autofocus>
<div class="buttons">
<button id="next" class="main">Next</button>
<button id="cancel" name="cancel" value="1">Cancel</button>
</div>
</form>
</main>
</body>
</html>{{end}}

{{define "consent"}}{{template "head" "Permissions requested"}}
<body data-page="consent">
<main>
<p>{{.User.UserPrincipalName}}</p>
<h1>Permissions requested</h1>
<p>Application {{.App}} would like to:</p>
<ul id="scopes">{{range .Scopes}}<li><button disabled>{{.}}</button></li>{{end}}</ul>
<form method="post" action="{{.Action}}">
<div class="buttons">
<button id="cancel" name="cancel" value="1">Cancel</button>
<button id="accept" class="main" name="consent" value="{{.User.ID}}">Accept</button>
</div>
</form>
</main>
</body>
</html>{{end}}

{{define "error"}}{{template "head" "Sign in to your account"}}
<body data-page="error">
<main>
<h1>Sorry, but we’re having trouble signing you in.</h1>
<p class="error" role="alert"><strong id="error-code">AADSTS{{.Number}}</strong>: {{.Text}}</p>
<dl>
<dt>Request Id</dt><dd id="trace-id">{{.Trace}}</dd>
<dt>Correlation Id</dt><dd id="correlation-id">{{.Correlation}}</dd>
<dt>Timestamp</dt><dd id="timestamp">{{.At}}</dd>
</dl>
</main>
</body>
</html>{{end}}

{{define "form-post"}}{{template "head" "Working..."}}
<body data-page="form-post">
<main>
<form method="post" action="{{.Action}}">
{{range $name, $values := .Fields}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<p>You are being sent back to the application.</p>
<div class="buttons"><button id="continue" class="main">Continue</button></div>
</form>
</main>
<script>document.forms[0].submit()</script>
</body>
</html>{{end}}

{{define "sign-out-pick"}}{{template "head" "Pick an account"}}
<body data-page="sign-out-pick">
<main>
<h1>Pick an account</h1>
<p>Which account do you want to sign out of?</p>
<form method="post" action="{{.Action}}">
{{range $name, $values := .Kept}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<ul id="account">
{{range .Signed}}<li><button name="account" value="{{.ID}}" data-upn="{{.UserPrincipalName}}">{{.DisplayName}}<span>{{.UserPrincipalName}}</span><span>Signed in</span></button></li>
{{end}}</ul>
</form>
</main>
</body>
</html>{{end}}

{{define "signed-out"}}{{template "head" "Sign out"}}
<body data-page="signed-out">
<main>
<h1>You signed out of your account</h1>
<p>It’s a good idea to close all browser windows.</p>
{{if .Next}}<div class="buttons"><a id="continue" class="main" href="{{.Next}}">Continue</a></div>{{end}}
</main>
{{range .Frames}}<iframe src="{{.}}" title="Sign out of an application"></iframe>
{{end}}{{if .Next}}<script>addEventListener("load", () => location.replace(document.getElementById("continue").href))</script>{{end}}
</body>
</html>{{end}}
`))

// show is an answer for people.
func (c *call) show(status int, name string, data map[string]any) *response {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		return c.fail(http.StatusInternalServerError, "generalException", err.Error())
	}
	a := c.reply(status, b.Bytes())
	a.header.Set("Content-Type", "text/html; charset=utf-8")
	a.header.Set("X-Frame-Options", "DENY")
	a.header.Set("X-Content-Type-Options", "nosniff")
	a.header.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	return a
}

// errorPage shows an error that does not go back to the application.
func (p *provider) errorPage(c *call, e *aadError) *response {
	_, trace, at := p.g.tokens.describe(c, e)
	return c.show(e.status, errorPage, map[string]any{
		"Number": strconv.Itoa(e.number), "Text": e.text, "Trace": trace, "Correlation": c.clientID, "At": at,
	})
}

// action is where the forms of the pages go: the authorization request goes with them, so that nothing has to be
// remembered for somebody who never comes back.
func (r *authRequest) action() string { return "/" + r.tenant + signInPath + "?" + r.form.Encode() }

// signInPage asks who it is. Signed are those who are signed in to Entra in this browser, name is what is typed already.
func (r *authRequest) signInPage(signed []account, name string, e *aadError) *response {
	var known, people []User
	listed := make(map[string]bool)
	for _, a := range signed {
		if u := r.c.g.tenant.find(a.user); u != nil {
			known, listed[u.ID] = append(known, *u), true
		}
	}
	for _, u := range r.c.g.tenant.view().users {
		if len(people) < maxListed && !u.Deleted() && !listed[u.ID] {
			people = append(people, *u)
		}
	}
	data := map[string]any{"Action": r.action(), "Signed": known, "People": people, "Name": name}
	if e != nil {
		data["Error"] = map[string]string{"Number": strconv.Itoa(e.number), "Text": e.text}
	}
	return r.c.show(http.StatusOK, signInPage, data)
}

func (r *authRequest) consentPage(u *User) *response {
	says := map[string]string{
		"openid": "Sign you in", "profile": "View your basic profile", "email": "View your email address",
		"offline_access": "Maintain access to data you have given it access to",
	}
	var scopes []string
	for _, s := range r.scope {
		scopes = append(scopes, says[s])
	}
	return r.c.show(http.StatusOK, consentPage, map[string]any{"Action": r.action(), "User": u, "App": r.app.id, "Scopes": scopes})
}
