package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// Sessions of the rows about them: people with access to three environments each.
const (
	benchSessions     = 1000
	benchEnvironments = 3
	benchUpstream     = "bench"
)

// SignIn makes people with access, signs them in and returns the secrets of their sessions.
func (s *Server) SignIn(_ bool, secrets *[]string) error {
	svc := s.app.Service()
	org, err := svc.CreateOrganization(s.ctx, operator, "Sessions")
	if err != nil {
		return err
	}
	t, err := svc.CreateTenant(s.ctx, operator, directory.Tenant{Name: "sessions", OrganizationIDs: []directory.ID{org.ID}})
	if err != nil {
		return err
	}
	var members []directory.ID
	var accounts []directory.ID
	for i := range benchSessions {
		name := fmt.Sprintf("person%d@sessions.example", i)
		u, err := svc.CreateUser(s.ctx, operator, t.ID, directory.UserInput{Profile: directory.Profile{UserName: name, Name: name, Email: name, Emails: []string{name}, Active: true},
			Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: []byte(`{"userName":"` + name + `"}`)})
		if err != nil {
			return err
		}
		members, accounts = append(members, u.ID), append(accounts, u.AccountID)
	}
	const group = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
	if _, err := svc.CreateGroup(s.ctx, operator, t.ID, directory.GroupInput{DisplayName: "all", ExternalID: group,
		Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`), Attributes: []byte(`{"displayName":"all"}`)}, members); err != nil {
		return err
	}
	on := true
	for i := range benchEnvironments {
		e, err := svc.CreateEnvironment(s.ctx, operator, org.ID, fmt.Sprintf("Environment %d", i))
		if err != nil {
			return err
		}
		_, work, err := svc.SetIntegration(s.ctx, operator, e.ID, directory.IntegrationInput{Enabled: &on, TenantID: &t.ID, Groups: []string{group}})
		if err != nil {
			return err
		}
		for done := work == nil; !done; {
			if err := svc.View(s.ctx, func(sn *directory.Snapshot) error {
				now, err := sn.Derivation(e.ID, work.ID)
				done = err == nil && now.State == directory.DerivationComplete
				return err
			}); err != nil {
				return err
			}
		}
	}
	for _, account := range accounts {
		secret := auth.NewSessionSecret()
		if _, err := svc.CreateSession(s.ctx, operator, directory.SessionInput{AccountID: account, Hash: secret.Hash}); err != nil {
			return err
		}
		*secrets = append(*secrets, secret.Text)
	}
	return nil
}

// verify is what a proxy asks before each request to an application; who is what the application asks.
func verify(ctx context.Context, b *bench) ([]Result, error) {
	return b.session(ctx, "/auth/verify/"+benchUpstream)
}
func who(ctx context.Context, b *bench) ([]Result, error) { return b.session(ctx, "/auth/session") }

func (b *bench) session(ctx context.Context, path string) ([]Result, error) {
	if b.sessions == nil {
		if err := b.server.call("SignIn", true, &b.sessions); err != nil {
			return nil, err
		}
	}
	var calls []*call
	for _, secret := range b.sessions {
		calls = append(calls, &call{status: http.StatusOK, raw: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: bench\r\nCookie: %s=%s\r\n\r\n", path, auth.SessionCookie, secret)})
	}
	return b.againstH(ctx, Result{What: fmt.Sprintf("GET %s, %d environments, 8 connections", path, benchEnvironments)}, 8, calls, calls[0])
}
