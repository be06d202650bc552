// Package scim speaks SCIM 2.0 (RFC 7643, RFC 7644): the push channel of a tenant.
//
// It turns requests into changes for directory.Service and records into resources. It decides
// what the protocol means, never what a change means: access, accounts and sessions are the
// directory's. It must never know how records are kept, how a caller was authenticated, or
// what other tenants exist.
package scim
