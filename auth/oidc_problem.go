package auth

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/oauth2"

	"github.com/bizzstream/bizzscim/directory"
)

// oauthProblems says what an OAuth error means. Nothing but it is decided on. Sources: RFC 6749 sections
// 4.1.2.1 and 5.2, OpenID Connect Core 1.0 section 3.1.2.6, Microsoft, "OAuth 2.0 authorization code flow".
var oauthProblems = map[string]ProblemCode{
	"access_denied":              ProblemCancelled,
	"consent_required":           ProblemConsent,
	"login_required":             ProblemInteraction,
	"interaction_required":       ProblemInteraction,
	"account_selection_required": ProblemInteraction,
	"temporarily_unavailable":    ProblemUnavailable,
	"server_error":               ProblemDirectory,
	"invalid_request":            ProblemConfiguration,
	"invalid_client":             ProblemConfiguration,
	"unauthorized_client":        ProblemConfiguration,
	"unsupported_response_type":  ProblemConfiguration,
	"unsupported_grant_type":     ProblemConfiguration,
	"invalid_scope":              ProblemConfiguration,
	"invalid_resource":           ProblemConfiguration,
	"invalid_grant":              ProblemStart, // the code took too long
}

// numberProblems picks a more helpful text by Microsoft's number of an error, which is not for programs
// to decide on: nobody is signed in whichever it is. Source: Microsoft, "Microsoft Entra authentication
// and authorization error codes".
var numberProblems = map[string]ProblemCode{
	"AADSTS50105": ProblemNotAssigned,
	"AADSTS53003": ProblemConditionalAccess,
	"AADSTS50076": ProblemMFA, "AADSTS50079": ProblemMFA,
	"AADSTS65001": ProblemConsent, "AADSTS90094": ProblemConsent,
	"AADSTS65004": ProblemCancelled,
	"AADSTS50011": ProblemConfiguration, "AADSTS700016": ProblemConfiguration,
	"AADSTS7000215": ProblemConfiguration, "AADSTS7000222": ProblemConfiguration,
	"AADSTS50020": ProblemWrongTenant, "AADSTS90072": ProblemWrongTenant,
	"AADSTS54005": ProblemReplay,
	"AADSTS50034": ProblemAccount, "AADSTS50057": ProblemAccount,
}

var (
	oauthError    = regexp.MustCompile(`^[a-z_]{1,64}$`)
	errorNumber   = regexp.MustCompile(`^(AADSTS[0-9]{4,9}):`)
	policyNumber  = regexp.MustCompile(`^AADSTS530[0-9]{2,3}$`) // Conditional Access
	traceID       = regexp.MustCompile(`\bTrace ID: ([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:\s|$)`)
	correlationID = regexp.MustCompile(`\bCorrelation ID: ([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:\s|$)`)
)

// maxDescription bounds what is read of a directory's description of an error, in bytes.
const maxDescription = 8 << 10

// said is what a directory says of an error, as a Problem. Of the description, which can name people,
// nothing is taken but the numbers by which the directory's administrators find the sign-in.
func said(oauth, description string) *Problem {
	p := &Problem{Code: ProblemDirectory}
	if oauthError.MatchString(oauth) {
		p.OAuth = oauth
	}
	description = description[:min(len(description), maxDescription)]
	first := func(re *regexp.Regexp) string {
		if m := re.FindStringSubmatch(description); m != nil {
			return m[1]
		}
		return ""
	}
	p.Number, p.TraceID, p.CorrelationID = first(errorNumber), first(traceID), first(correlationID)
	code, known := oauthProblems[oauth]
	if !known {
		return p
	}
	p.Code = code
	if code, ok := numberProblems[p.Number]; ok {
		p.Code = code
	} else if policyNumber.MatchString(p.Number) {
		p.Code = ProblemConditionalAccess
	}
	return p
}

// exchangeProblem is why a code was not exchanged. The error of the library is not kept: it quotes the
// answer.
func exchangeProblem(err error) *Problem {
	var refused *oauth2.RetrieveError
	var network *url.Error
	switch {
	case errors.As(err, &refused) && refused.ErrorCode != "":
		p := said(refused.ErrorCode, refused.ErrorDescription)
		p.Err = errors.New("the token endpoint answers " + refused.Response.Status)
		return p
	case errors.As(err, &refused):
		p := &Problem{Code: ProblemDirectory, Err: errors.New("the token endpoint answers " + refused.Response.Status)}
		if status := refused.Response.StatusCode; status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout {
			p.Code = ProblemUnavailable
		}
		return p
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Problem{Code: ProblemUnavailable, Err: err}
	}
	return &Problem{Code: ProblemDirectory, Err: errors.New("the answer of the token endpoint cannot be read")}
}

// issuerProblem is why a directory cannot be used, by the error of an issuer.
func issuerProblem(err error) *Problem {
	if e := (*issuerError)(nil); errors.As(err, &e) && e.answered {
		return &Problem{Code: ProblemConfiguration, Err: err}
	}
	return &Problem{Code: ProblemUnavailable, Err: err}
}

// serviceProblem is why somebody whom the directory has proven is not signed in.
func serviceProblem(err error) *Problem {
	code := ProblemInternal
	switch {
	case errors.Is(err, directory.ErrRelinked):
		code = ProblemStart
	case errors.Is(err, directory.ErrNotProvisioned):
		code = ProblemNotProvisioned
	case errors.Is(err, directory.ErrAmbiguous):
		code = ProblemAmbiguous
	case errors.Is(err, directory.ErrSubject):
		code = ProblemIdentity
	case errors.Is(err, directory.ErrInactive):
		code = ProblemInactive
	case directory.KindOf(err) == directory.Forbidden:
		code = ProblemNoAccess
	}
	return &Problem{Code: code, Err: err}
}

// audited are the problems that the audit keeps where they are not an error of the directory's: somebody
// came with an answer of the directory, and was refused here.
var audited = map[ProblemCode]bool{ProblemToken: true, ProblemWrongTenant: true, ProblemNotProvisioned: true, ProblemAmbiguous: true,
	ProblemIdentity: true, ProblemInactive: true, ProblemNoAccess: true}

// conclude fills in a Problem, logs it, and puts a refusal into the audit. object is zero where the
// person is not known.
func (s *SignIn) conclude(ctx context.Context, p *Problem, by directory.Actor, tenant *directory.Tenant, object directory.ID, next string) *Problem {
	p.Tenant, p.Next, p.Time = tenant, next, s.config.Now()
	attrs := []any{"code", string(p.Code)}
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, key, value)
		}
	}
	if tenant != nil {
		add("tenant", tenant.ID.String())
	}
	if !object.IsZero() {
		add("object", object.String())
	}
	add("error", p.OAuth)
	add("number", p.Number)
	add("correlation", p.CorrelationID)
	add("trace", p.TraceID)
	add("request", by.RequestID)
	if p.Err != nil {
		attrs = append(attrs, "err", p.Err)
	}
	s.config.Log.Log(ctx, levelOf(p.Code), "nobody was signed in", attrs...)
	if audited[p.Code] && p.OAuth == "" {
		s.audit(ctx, p, by, tenant, object)
	}
	return p
}

func levelOf(code ProblemCode) slog.Level {
	switch code {
	case ProblemInternal:
		return slog.LevelError
	case ProblemConfiguration, ProblemUnavailable, ProblemDirectory, ProblemToken, ProblemAmbiguous, ProblemIdentity:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func (s *SignIn) audit(ctx context.Context, p *Problem, by directory.Actor, tenant *directory.Tenant, object directory.ID) {
	detail, err := json.Marshal(struct {
		Code   ProblemCode  `json:"code"`
		Object directory.ID `json:"objectId,omitzero"`
	}{p.Code, object})
	if err == nil {
		by.Role = directory.RoleNone
		err = s.config.Service.Audit(context.WithoutCancel(ctx), by, "sign-in.refused", tenant.ID.String(), detail)
	}
	if err != nil {
		s.config.Log.ErrorContext(ctx, "a refused sign-in is missing in the audit", "tenant", tenant.ID.String(), "err", err)
	}
}

// printable returns a text of the directory's that is short and plain enough to keep, or nothing.
func printable(s string, most int) string {
	if len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return s
}
