package entrasim

import (
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the x5t header of RFC 7515, section 4.1.7, is a SHA-1 thumbprint; it finds a certificate and proves nothing
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Application permissions of Microsoft Graph.
// Source: Microsoft Graph permissions reference.
const (
	GroupMemberReadAll  = "GroupMember.Read.All" // groups and who is in them
	GroupReadAll        = "Group.Read.All"
	UserReadAll         = "User.Read.All" // the properties of users
	DirectoryReadAll    = "Directory.Read.All"
	MemberReadHidden    = "Member.Read.Hidden"   // members of groups with hidden membership
	ApplicationReadAll  = "Application.Read.All" // granted to be seen in the token; nothing served here needs it
	OrganizationReadAll = "Organization.Read.All"
)

// App is an application registered in the tenant: its permissions, with an administrator's consent, and what it can
// prove itself with. All methods may be called from several goroutines while the Graph serves.
type App struct {
	g  *Graph
	id string

	mu           sync.Mutex // guards what follows
	permissions  map[string]bool
	secrets      []secret
	certificates []certificate
	federated    []FederatedCredential
	assertions   map[string]time.Time // jti of the client assertions that got a token -> their expiry
	signIn       signIn
}

type secret struct {
	value   string
	expires time.Time
}

type certificate struct {
	key              *rsa.PublicKey
	sha1, sha256     string // thumbprints, as raw bytes
	notBefore, after time.Time
}

// FederatedCredential lets a workload prove itself with a token of another issuer, without a secret.
// Source: Microsoft, "Workload identity federation".
type FederatedCredential struct {
	Issuer   string                    // claim iss, compared as it is
	Subject  string                    // claim sub
	Audience string                    // claim aud; default "api://AzureADTokenExchange"
	Keys     map[string]*rsa.PublicKey // the issuer's keys by key id; a token without a key id is tried with all
}

// App registers an application, with all the given permissions granted. An empty client id draws one. Registering an id
// again replaces the former registration, whose tokens end.
func (g *Graph) App(clientID string, permissions ...string) *App {
	if clientID == "" {
		clientID = g.newID()
	}
	a := &App{g: g, id: clientID, permissions: make(map[string]bool), assertions: make(map[string]time.Time)}
	a.Grant(permissions...)
	g.mu.Lock()
	former := g.apps[clientID]
	g.apps[clientID] = a
	g.mu.Unlock()
	if former != nil {
		former.RevokeTokens()
	}
	return a
}

func (g *Graph) app(clientID string) *App {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.apps[clientID]
}

// ClientID is the application (client) id.
func (a *App) ClientID() string { return a.id }

// Grant gives permissions. As in Entra, they are in the tokens that are issued from then on.
func (a *App) Grant(permissions ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range permissions {
		a.permissions[p] = true
	}
}

// Revoke takes permissions away, at once and from tokens that are in use too. (Entra lets a token keep what it was
// issued with; a test wants to see permissions go in the middle of a read.)
func (a *App) Revoke(permissions ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range permissions {
		delete(a.permissions, p)
	}
}

// NewSecret makes a client secret that ends at expires and returns its value. An application can have several.
func (a *App) NewSecret(expires time.Time) string {
	value := "sim~" + a.g.newID()
	a.AddSecret(value, expires)
	return value
}

// AddSecret adds a client secret of a given value. The same value again only changes its expiry.
func (a *App) AddSecret(value string, expires time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.secrets = slices.DeleteFunc(a.secrets, func(s secret) bool { return s.value == value })
	a.secrets = append(a.secrets, secret{value, expires})
}

// RemoveSecret removes a client secret.
func (a *App) RemoveSecret(value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.secrets = slices.DeleteFunc(a.secrets, func(s secret) bool { return s.value == value })
}

// AddCertificate registers a certificate with an RSA key, which signs the client's assertions while it is valid itself.
func (a *App) AddCertificate(c *x509.Certificate) error {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("certificate with a %s key, want RSA", c.PublicKeyAlgorithm)
	}
	s1, s256 := sha1.Sum(c.Raw), sha256.Sum256(c.Raw) //nolint:gosec // see the import
	a.mu.Lock()
	defer a.mu.Unlock()
	a.certificates = append(a.certificates, certificate{key, string(s1[:]), string(s256[:]), c.NotBefore, c.NotAfter})
	return nil
}

// RemoveCertificates removes all certificates.
func (a *App) RemoveCertificates() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.certificates = nil
}

// AddFederated registers a federated credential.
func (a *App) AddFederated(f FederatedCredential) error {
	if f.Issuer == "" || f.Subject == "" || len(f.Keys) == 0 {
		return errors.New("federated credential needs an issuer, a subject and a key")
	}
	if f.Audience == "" {
		f.Audience = "api://AzureADTokenExchange"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.federated = append(a.federated, f)
	return nil
}

// RevokeTokens ends all tokens of the application at once: Graph answers 401 with a claims challenge (continuous access
// evaluation) until the client gets another.
func (a *App) RevokeTokens() { a.g.tokens.revoke(a) }

// RevokeTokens ends the tokens of all applications. See [App.RevokeTokens].
func (g *Graph) RevokeTokens() { g.tokens.revoke(nil) }

// roles are the permissions that a new token gets, sorted.
func (a *App) roles() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	roles := make([]string, 0, len(a.permissions))
	for p := range a.permissions {
		roles = append(roles, p)
	}
	slices.Sort(roles)
	return roles
}

// grant is what a request may do: what its token was issued with and the application still has.
type grant struct {
	app                   *App
	groups, users, hidden bool
	organization          bool
}

func (a *App) grant(roles []string) grant {
	a.mu.Lock()
	defer a.mu.Unlock()
	may := func(any ...string) bool {
		return slices.ContainsFunc(any, func(p string) bool { return a.permissions[p] && slices.Contains(roles, p) })
	}
	return grant{
		app:          a,
		groups:       may(GroupMemberReadAll, GroupReadAll, DirectoryReadAll),
		users:        may(UserReadAll, DirectoryReadAll),
		hidden:       may(MemberReadHidden),
		organization: may(OrganizationReadAll, DirectoryReadAll),
	}
}
