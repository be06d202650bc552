// Package directory is the domain of bizzscim: organizations, environments, tenants, the users
// and groups that a tenant's directory provisions, and the access to environments that follows
// from them.
//
// It decides what a change means and writes it: Service is the only writer, and each change is
// one transaction that carries the resource, the derived access, the sessions that must end, the
// provisioning-log line and the outgoing event.
//
// It must never know how a change arrived (SCIM, Graph, console, command line) or how records are
// kept; it imports the standard library alone. Time, ids and Unicode normalization are passed in.
package directory
