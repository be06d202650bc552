// Package auth knows who is calling: it makes and checks the secrets of tenants' tokens and OAuth
// clients, and verifies tokens that other issuers signed.
//
// It keeps nothing itself (records are the directory's) and must never know what a caller who is
// known then does.
package auth
