package reader

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/bizzstream/bizzscim/pull"
)

// errTemporary marks a failure to reach Graph after which the same request may go through.
var errTemporary = errors.New("no whole answer")

// temporaryError is a failure of the network. Its text is that of the cause.
type temporaryError struct{ cause error }

func (e *temporaryError) Error() string   { return Redact(e.cause.Error()) }
func (e *temporaryError) Unwrap() []error { return []error{errTemporary, e.cause} }

// unreachable makes the error of a request that had no whole answer.
func unreachable(err error) error {
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return &pull.Error{
			Class: pull.Configuration,
			Detail: "the certificate of the other side is not trusted; when a proxy inspects the traffic, or for a cloud of " +
				"one's own, name the file of its certificate authority",
			Err: err,
		}
	}
	detail := "Microsoft Graph gave no whole answer; check the network, the proxy and DNS if this stays"
	if errors.Is(err, context.DeadlineExceeded) {
		detail = fmt.Sprintf("Microsoft Graph gave no whole answer within %s; check the network if this stays", tryTimeout)
	}
	return &pull.Error{Class: pull.Unavailable, Detail: detail, Err: &temporaryError{err}}
}

// purpose is what a request is for, so that its failure can say what to do.
type purpose struct {
	what       string // such as "the members of group <id>"
	permission string // what the application needs for it
	group      string // a group that must be there; empty: none
	further    bool   // it continues a list
}

// check makes an error of an answer that is not a good one.
func (o *operation) check(a *Answer, p purpose) error {
	if a.Status == http.StatusOK {
		return nil
	}
	e := describe(a, p)
	e.Status = a.Status
	e.RequestID = requestID(a.Header)
	if e.Class == pull.Throttled || e.Class == pull.Unavailable {
		e.RetryAfter = retryAfter(a.Header, o.client.Now())
	}
	return e
}

// describe finds the class of a failure and what to do about it.
func describe(a *Answer, p purpose) *pull.Error {
	code, message := odataError(a.Body)
	e := &pull.Error{Code: code}
	if message != "" {
		e.Err = errors.New(message)
	}
	switch {
	case a.Status == http.StatusUnauthorized:
		e.Class = pull.Authentication
		e.Detail = "Microsoft Graph refuses the token of the application; check directory id, client id, cloud, and that the " +
			"application is not disabled"
	case a.Status == http.StatusForbidden:
		e.Class = pull.Permission
		e.Detail = fmt.Sprintf("the application may not read %s; %s", p.what, grant(p.permission))
	case a.Status == http.StatusTooManyRequests:
		e.Class = pull.Throttled
		e.Detail = "Microsoft Graph asks to wait, because too much was asked of it; the next run tries again"
	case a.Status >= 500:
		e.Class = pull.Unavailable
		e.Detail = fmt.Sprintf("Microsoft Graph, or a proxy on the way to it, is out of order (status %d); the next run tries again", a.Status)
	case p.further && (a.Status == http.StatusBadRequest || a.Status == http.StatusNotFound || a.Status == http.StatusGone):
		e.Class = pull.Unavailable
		e.Detail = fmt.Sprintf("Microsoft Graph does not go on with %s, so nothing of the list is used; the next run reads it again", p.what)
	case a.Status == http.StatusNotFound && code == codeNotFound && p.group != "":
		return missing(p.group)
	case a.Status == http.StatusNotFound && code != codeNotFound:
		e.Class = pull.Unavailable
		e.Detail = "the address answers 404, but not as Microsoft Graph does; check the cloud and its URLs"
	case a.Status >= 300 && a.Status < 400:
		e.Class = pull.Unavailable
		e.Detail = fmt.Sprintf("the address sends us elsewhere (status %d), which Microsoft Graph does not; check the URLs and the proxy", a.Status)
	default:
		e.Class = pull.Malformed
		e.Detail = fmt.Sprintf("Microsoft Graph answered a request for %s with status %d, which is not documented", p.what, a.Status)
	}
	return e
}

// codeNotFound is Graph's own word for an object that is not there. Any other 404 is not an answer about
// an object.
const codeNotFound = "Request_ResourceNotFound"

// missing is the error for a group that is not there.
func missing(id string) *pull.Error {
	return &pull.Error{
		Class: pull.ScopeMissing,
		Detail: fmt.Sprintf("the directory has no group %s; perhaps the id is mistyped, or the group was deleted "+
			"(a Microsoft 365 group can be restored for 30 days)", id),
		Status: http.StatusNotFound,
		Code:   codeNotFound,
	}
}

// notGroupID is the error for a group whose id cannot be one.
func notGroupID(id string) *pull.Error {
	return &pull.Error{
		Class: pull.ScopeMissing,
		Detail: fmt.Sprintf("%.100s is not the object id of a group; copy the Object ID from the group's page in the "+
			"Microsoft Entra admin center", id),
	}
}

// odataError reads the code and the message of an error of Graph's, where there is one.
// Source: Microsoft Graph, "Error responses and resource types".
func odataError(body []byte) (code, message string) {
	var e struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil {
		return "", ""
	}
	return Redact(e.Error.Code), Redact(e.Error.Message)
}

func errorCode(body []byte) string {
	code, _ := odataError(body)
	return code
}

// jwt is anything that begins like a JSON Web Token.
var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_\-.+/=]{8,}`)

// Redact makes a text of the other side fit to be shown: no token, no control characters, and short.
func Redact(s string) string {
	s = jwt.ReplaceAllString(s, "[token]")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	const most = 500
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

func requestID(h http.Header) string { return Redact(h.Get("Request-Id")) }

// retryAfter is how long an answer asks to wait: seconds, with or without a fraction, or a date (RFC
// 9110 section 10.2.3). It is 0 when that is not told or makes no sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		if !(s > 0) || math.IsInf(s, 0) { // NaN too
			return 0
		}
		return time.Duration(min(s, (24*time.Hour).Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	// By the clock that the date was written with, where it tells.
	if sent, err := http.ParseTime(h.Get("Date")); err == nil {
		now = sent
	}
	return min(max(at.Sub(now), 0), 24*time.Hour)
}

// challenge returns the claims (base64) that a token must have, from the answer to a request whose token
// had not: WWW-Authenticate: Bearer ..., error="insufficient_claims", claims="...". It is empty for any
// other answer. Source: Microsoft, "Claims challenges, claims requests, and client capabilities".
func challenge(h http.Header) string {
	for _, v := range h.Values("WWW-Authenticate") {
		scheme, params, _ := strings.Cut(v, " ")
		if !strings.EqualFold(scheme, "bearer") {
			continue
		}
		claims := parameters(params)["claims"]
		if plain, err := base64.StdEncoding.DecodeString(claims); err == nil && json.Valid(plain) {
			return claims
		}
	}
	return ""
}

// parameter is one of a challenge, its value in quotes (RFC 9110 section 11.2).
var parameter = regexp.MustCompile(`([A-Za-z_]+)\s*=\s*"([^"]*)"`)

func parameters(s string) map[string]string {
	m := make(map[string]string)
	for _, p := range parameter.FindAllStringSubmatch(s, -1) {
		m[strings.ToLower(p[1])] = p[2]
	}
	return m
}
