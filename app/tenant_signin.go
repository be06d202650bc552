package app

import (
	"github.com/bizzstream/bizzscim/directory"
)

// SignIn is the application by which people of a tenant's directory sign in. Cloud and hosts are those of
// Graph.
type SignIn struct {
	ClientID    string `json:"clientId,omitempty"` // empty: nobody signs in with this tenant
	Label       string `json:"label,omitempty"`    // what people know the organization as
	Prompt      string `json:"prompt,omitempty"`   // login, select_account
	DomainHint  string `json:"domainHint,omitempty"`
	Contact     string `json:"contact,omitempty"`     // whom people ask
	PasswordURL string `json:"passwordUrl,omitempty"` // where they change their password
	RedirectURI string `json:"redirectUri"`           // to be registered in Entra
	SignedOut   string `json:"signedOutUri"`          // to be registered too, for signing out of the directory
	LogoutURL   string `json:"logoutUrl"`             // Front-channel logout URL, to be registered in Entra
}

// SignInChange changes it. What is null stays, what is empty goes back to its default.
type SignInChange struct {
	ClientID    *string `json:"clientId,omitempty"`
	Label       *string `json:"label,omitempty"`
	Prompt      *string `json:"prompt,omitempty"`
	DomainHint  *string `json:"domainHint,omitempty"`
	Contact     *string `json:"contact,omitempty"`
	PasswordURL *string `json:"passwordUrl,omitempty"`
}

// Paths that are registered in Entra.
const (
	callbackPath     = "/auth/callback"
	signedOutPath    = "/signed-out"
	frontchannelPath = "/auth/frontchannel-logout/" // and the id of the tenant
)

func (a *admin) viewSignIn(t *directory.Tenant) SignIn {
	s := t.SignIn
	return SignIn{ClientID: s.ClientID, Label: s.Label, Prompt: s.Prompt, DomainHint: s.DomainHint, Contact: s.Contact, PasswordURL: s.PasswordURL,
		RedirectURI: a.url() + callbackPath, SignedOut: a.url() + signedOutPath, LogoutURL: a.url() + frontchannelPath + t.ID.String()}
}

func (in *SignInChange) apply(s *directory.SignIn) {
	set(&s.ClientID, in.ClientID)
	set(&s.Label, in.Label)
	set(&s.Prompt, in.Prompt)
	set(&s.DomainHint, in.DomainHint)
	set(&s.Contact, in.Contact)
	set(&s.PasswordURL, in.PasswordURL)
}

// viewTenantCredential shows a credential of a tenant; nil: there is none.
func (a *admin) viewTenantCredential(sn *directory.Snapshot, t *directory.Tenant, name string) (*Credential, error) {
	c, err := sn.Credential(t.ID, name)
	switch {
	case isNotFound(err):
		return nil, nil //nolint:nilnil // there is none
	case err != nil:
		return nil, err
	}
	shown := a.viewCredential(t, c)
	return &shown, nil
}
