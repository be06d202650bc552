package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Sign-ins under way: each is a sealed cookie of the browser that began it, and nothing on the server.
const (
	attemptPrefix = "__Host-login-"  // and eight hexadecimal digits of the SHA-256 of the state
	attemptPlace  = "sign-in"        // what the cookie is sealed for
	attemptLife   = 10 * time.Minute // by directory.Service.SessionNow
	maxAttempts   = 4                // of one browser
	maxCookie     = 4096             // bytes of a value, as browsers keep
	maxCookies    = 16               // of a request that are looked at
)

// attempt is one sign-in under way.
type attempt struct {
	State    string       `json:"s"`
	Nonce    string       `json:"n"`
	Verifier string       `json:"v"` // PKCE (RFC 7636)
	Tenant   directory.ID `json:"t"`
	Issuer   string       `json:"i"` // that the browser was sent to
	Client   string       `json:"a"` // application, as which
	Next     string       `json:"x"`
	Created  time.Time    `json:"c"`
}

// randomText is 256 random bits in base64url.
func randomText() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process rather than return less
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func attemptName(state string) string {
	sum := sha256.Sum256([]byte(state))
	return attemptPrefix + hex.EncodeToString(sum[:4])
}

func (a *attempt) over(now time.Time) bool {
	return !now.Before(a.Created.Add(attemptLife)) || now.Before(a.Created.Add(-time.Minute)) // the clock was set back, over a restart
}

func (s *SignIn) sealAttempt(a *attempt) (*http.Cookie, error) {
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false) // it would write a & in six bytes, and a cookie has not many
	if err := e.Encode(a); err != nil {
		return nil, err
	}
	sealed, err := s.config.Seal(plain.Bytes(), attemptPlace)
	if err != nil {
		return nil, err
	}
	return attemptCookie(attemptName(a.State), sealed, int(attemptLife/time.Second)), nil
}

// attemptCookie is SameSite=Lax: the browser comes back from the directory by a link, and must bring it.
func attemptCookie(name, value string, seconds int) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: seconds, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

func noCookie(name string) *http.Cookie { return attemptCookie(name, "", -1) }

// under is a cookie of a sign-in under way.
type under struct {
	name string
	*attempt
}

// attempts reads the cookies of sign-ins under way, newest first, and says which names are to be taken
// back: those that are over, are not ours or came twice with different values.
func (s *SignIn) attempts(cookies []*http.Cookie) (live []under, gone []string) {
	values := map[string]string{}
	var names []string
	for _, c := range cookies {
		if !strings.HasPrefix(c.Name, attemptPrefix) || len(c.Name) != len(attemptPrefix)+8 || len(names) == maxCookies {
			continue
		}
		before, twice := values[c.Name]
		if !twice {
			names = append(names, c.Name)
			values[c.Name] = c.Value
		} else if before != c.Value {
			values[c.Name] = ""
		}
	}
	now := s.config.Service.SessionNow()
	for _, name := range names {
		if a := s.openAttempt(values[name]); a != nil && attemptName(a.State) == name && !a.over(now) {
			live = append(live, under{name, a})
		} else {
			gone = append(gone, name)
		}
	}
	slices.SortStableFunc(live, func(a, b under) int { return b.Created.Compare(a.Created) })
	return live, gone
}

func (s *SignIn) openAttempt(sealed string) *attempt {
	if sealed == "" || len(sealed) > maxCookie {
		return nil
	}
	plain, err := s.config.Unseal(sealed, attemptPlace)
	if err != nil {
		return nil
	}
	a := new(attempt)
	if json.Unmarshal(plain, a) != nil || a.State == "" || a.Nonce == "" || a.Verifier == "" {
		return nil
	}
	return a
}

// MakeRoom returns the cookies to take back before Begin gives a browser another one, so that it has no
// more than four sign-ins under way: the oldest, and those that are over. It is given the cookies of the request.
func (s *SignIn) MakeRoom(cookies []*http.Cookie) (remove []*http.Cookie) {
	live, gone := s.attempts(cookies)
	for _, u := range live[min(len(live), maxAttempts-1):] {
		gone = append(gone, u.name)
	}
	for _, name := range gone {
		remove = append(remove, noCookie(name))
	}
	return remove
}

// returned finds the sign-in that a browser came back from; nil: none of this browser. The cookie of one
// that is found is spent.
func (s *SignIn) returned(query url.Values, cookies []*http.Cookie) (found *attempt, remove []*http.Cookie) {
	live, gone := s.attempts(cookies)
	state := query.Get("state")
	for i, u := range live {
		switch {
		case subtle.ConstantTimeCompare([]byte(u.State), []byte(state)) == 1 && once(query):
			found = u.attempt
			gone = append(gone, u.name)
		case i >= maxAttempts:
			gone = append(gone, u.name)
		}
	}
	for _, name := range gone {
		remove = append(remove, noCookie(name))
	}
	return found, remove
}

// once reports whether no parameter came more than once (RFC 6749 section 3.1).
func once(query url.Values) bool {
	for _, values := range query {
		if len(values) > 1 {
			return false
		}
	}
	return true
}
