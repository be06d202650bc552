package scim

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
)

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" //nolint:gosec // no credential: the name of a kind of one

// oauthError is an error of the token endpoint (RFC 6749 section 5.2).
type oauthError struct {
	status int
	Code   string `json:"error"`
	Detail string `json:"error_description,omitempty"`
}

func (e *oauthError) Error() string { return "scim: token endpoint: " + e.Code }

// issueToken is the token endpoint of a tenant: client credentials (RFC 6749 section 4.4) by
// client_secret_basic, client_secret_post or a federated assertion (RFC 7523). Form fields that
// it does not know, the scope among them, are ignored.
func (q *request) issueToken(tenantName string) error {
	token, life, err := q.accessToken(tenantName)
	header := q.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("Pragma", "no-cache")
	if err == nil {
		return json.NewEncoder(q.w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": life})
	}
	var oauth *oauthError
	if !errors.As(err, &oauth) {
		switch e := toError(err); e.Status {
		case http.StatusUnauthorized:
			oauth = &oauthError{http.StatusUnauthorized, "invalid_client", e.Detail}
		case http.StatusServiceUnavailable:
			oauth = &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", e.Detail}
		case http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusBadRequest:
			oauth = &oauthError{e.Status, "invalid_request", e.Detail}
		default:
			oauth = &oauthError{http.StatusInternalServerError, "server_error", e.Detail}
		}
		if oauth.status >= http.StatusInternalServerError {
			q.Log.Error("token request failed", "error", err, "requestId", q.RequestID(q.r))
		}
	}
	if oauth.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Basic realm="scim"`)
	}
	q.w.WriteHeader(oauth.status)
	return json.NewEncoder(q.w).Encode(oauth)
}

// maxForm bounds a token request in bytes: an assertion is the largest thing in it.
const maxForm = 32 << 10

func (q *request) accessToken(tenantName string) (token string, seconds int, err error) {
	invalid := func(detail string) error { return &oauthError{http.StatusBadRequest, "invalid_request", detail} }
	if q.r.Method != http.MethodPost {
		q.w.Header().Set("Allow", http.MethodPost)
		return "", 0, &oauthError{http.StatusMethodNotAllowed, "invalid_request", "the token endpoint takes POST"}
	}
	if q.r.ContentLength > maxForm {
		return "", 0, &oauthError{http.StatusRequestEntityTooLarge, "invalid_request", "the request is too large"}
	}
	data, err := q.rawBody("application/x-www-form-urlencoded")
	if err != nil {
		return "", 0, err
	}
	if len(data) > maxForm {
		return "", 0, &oauthError{http.StatusRequestEntityTooLarge, "invalid_request", "the request is too large"}
	}
	form, err := url.ParseQuery(string(data))
	if err != nil {
		return "", 0, invalid("the form cannot be read")
	}
	for _, name := range []string{"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type"} {
		if len(form[name]) > 1 {
			return "", 0, invalid("the parameter " + name + " is given twice")
		}
	}
	if g := form.Get("grant_type"); g != "client_credentials" {
		if g == "" {
			return "", 0, invalid("grant_type is missing")
		}
		return "", 0, &oauthError{http.StatusBadRequest, "unsupported_grant_type", "only client_credentials is supported"}
	}
	id, secret, assertion := form.Get("client_id"), form.Get("client_secret"), form.Get("client_assertion")
	if t := form.Get("client_assertion_type"); assertion != "" && t != jwtBearer {
		return "", 0, invalid("client_assertion_type must be " + jwtBearer)
	}
	if headers := q.r.Header["Authorization"]; len(headers) > 0 {
		if len(headers) > 1 || secret != "" || assertion != "" {
			return "", 0, invalid("more than one way of client authentication")
		}
		headerID, headerSecret, ok := basicAuth(headers[0])
		if !ok || id != "" && id != headerID {
			return "", 0, &directory.Error{Kind: directory.Unauthorized, Detail: "client authentication failed"}
		}
		id, secret = headerID, headerSecret
	}
	if id == "" {
		return "", 0, &directory.Error{Kind: directory.Unauthorized, Detail: "client authentication failed"}
	}
	token, life, err := q.Clients.Token(q.r.Context(), tenantName, id, secret, assertion)
	return token, int(life.Seconds()), err
}

// basicAuth reads client_secret_basic: both parts are form-encoded before they are joined
// (RFC 6749 section 2.3.1).
func basicAuth(header string) (id, secret string, ok bool) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !equalFold(scheme, "Basic") {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", false
	}
	id, secret, ok = strings.Cut(string(raw), ":")
	if !ok {
		return "", "", false
	}
	id, errID := url.QueryUnescape(id)
	secret, errSecret := url.QueryUnescape(secret)
	return id, secret, errID == nil && errSecret == nil
}
