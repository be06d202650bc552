package console

import (
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// problemPage is how a problem of a sign-in is answered.
type problemPage struct {
	status int
	retry  retry
}

// retry is whether and how trying again can help.
type retry uint8

const (
	never   retry = iota
	again         // as before
	another       // with another account
	chooser       // with another organization
)

var problemPages = map[auth.ProblemCode]problemPage{
	auth.ProblemNotSetUp:          {http.StatusNotFound, chooser},
	auth.ProblemStart:             {http.StatusBadRequest, again},
	auth.ProblemReplay:            {http.StatusBadRequest, again},
	auth.ProblemCancelled:         {http.StatusForbidden, again},
	auth.ProblemConsent:           {http.StatusForbidden, again},
	auth.ProblemNotAssigned:       {http.StatusForbidden, another},
	auth.ProblemConditionalAccess: {http.StatusForbidden, again},
	auth.ProblemMFA:               {http.StatusForbidden, again},
	auth.ProblemAccount:           {http.StatusForbidden, another},
	auth.ProblemInteraction:       {http.StatusForbidden, another},
	auth.ProblemConfiguration:     {http.StatusInternalServerError, again},
	auth.ProblemUnavailable:       {http.StatusServiceUnavailable, again},
	auth.ProblemDirectory:         {http.StatusBadGateway, again},
	auth.ProblemToken:             {http.StatusForbidden, again},
	auth.ProblemWrongTenant:       {http.StatusForbidden, another},
	auth.ProblemNotProvisioned:    {http.StatusForbidden, another},
	auth.ProblemAmbiguous:         {http.StatusForbidden, never},
	auth.ProblemIdentity:          {http.StatusForbidden, never},
	auth.ProblemInactive:          {http.StatusForbidden, never},
	auth.ProblemNoAccess:          {http.StatusForbidden, another},
	auth.ProblemRateLimited:       {http.StatusTooManyRequests, again},
	auth.ProblemInternal:          {http.StatusInternalServerError, again},
}

type problemData struct {
	Code          auth.ProblemCode
	Organization  string // empty: not known
	Tenant        *directory.Tenant
	Contact       string
	ContactMail   string // Contact where it is a mail address
	OAuth         string
	Number        string // of the directory
	NumberURL     string // explains Number
	CorrelationID string
	TraceID       string
	RequestID     string
	Time          time.Time
	Next          string
	Prompt        string // of trying again
	Retry         bool
	Chooser       bool // what can help is another organization
}

// problem says why a sign-in came to nothing. After a callback it stands at the address with the directory's code, which
// only the script takes away: a redirect to a clean address would have to carry the problem in a cookie of its own. The
// code is worth nothing there: it is spent, or its sign-in has no cookie here; nothing keeps the page (no-store), and no
// other site is told its address (no-referrer).
func (c *Console) problem(v *visit, p *auth.Problem) {
	how, known := problemPages[p.Code]
	code := p.Code
	if !known {
		how, code = problemPages[auth.ProblemInternal], auth.ProblemInternal
	}
	data := problemData{Code: code, Tenant: p.Tenant, OAuth: p.OAuth, Number: p.Number, NumberURL: numberURL(p.Number),
		CorrelationID: p.CorrelationID, TraceID: p.TraceID, RequestID: c.config.RequestID(v.r), Time: p.Time, Next: auth.SafeNext(p.Next),
		Retry: how.retry == again || how.retry == another, Chooser: how.retry == chooser || p.Tenant != nil}
	if data.Time.IsZero() {
		data.Time = c.config.Now()
	}
	if p.Tenant != nil {
		data.Organization, data.Contact = p.Tenant.DisplayName(), p.Tenant.SignIn.Contact
		if mailAddress.MatchString(data.Contact) {
			data.ContactMail = data.Contact
		}
	}
	if how.retry == another {
		data.Prompt = "select_account"
	}
	c.render(v, how.status, "problem", "problem."+string(code)+".title", data)
}

var (
	entraNumber = regexp.MustCompile(`^AADSTS([0-9]{4,9})$`)
	mailAddress = regexp.MustCompile(`^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$`)
)

// numberURL is Microsoft's own page about an error number; empty for what is none.
func numberURL(number string) string {
	found := entraNumber.FindStringSubmatch(strings.ToUpper(number))
	if found == nil {
		return ""
	}
	return "https://login.microsoftonline.com/error?code=" + found[1]
}
