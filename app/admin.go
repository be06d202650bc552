package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// admin serves the operator's operations. Whoever reaches it is an operator: it is served on a
// socket that the system lets only its owner open, or within the operator's own process.
type admin struct {
	service *directory.Service
	pull    *pull.Reconciler
	secrets *secrets
	desk    *desk.Desk
	now     func() time.Time
	version string
	url     func() string // by which SCIM clients reach the server
	status  func() Status // nil: no server runs
	local   *auth.Local   // makes the links of operators
	keys    keyRotator    // of the keys that sign assertions
}

func newAdmin(service *directory.Service, p *pull.Reconciler, s *secrets, o Options, url func() string) *admin {
	return &admin{service: service, pull: p, secrets: s, now: o.Now, version: o.Version, url: url,
		desk:  desk.New(desk.Config{Service: service, Pull: p, URL: url, Now: o.Now, SealCredential: s.seal, Seal: s.sealAt, Open: s.openAt}),
		local: newLocal(service, s, o, url, nil),
		keys:  auth.NewAssertions(auth.AssertionsConfig{Service: service, URL: url, Seal: s.sealAt, Unseal: s.openAt, Now: o.Now})}
}

// operation is an Operation behind the type of its input.
type operation func(a *admin, ctx context.Context, by directory.Actor, body []byte) (any, error)

func handle[In, Out any](op Operation[In, Out], fn func(*admin, context.Context, directory.Actor, In) (Out, error)) (string, operation) {
	return op.Name, func(a *admin, ctx context.Context, by directory.Actor, body []byte) (any, error) {
		var in In
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, &directory.Error{Kind: directory.Invalid, Detail: "the request cannot be read: " + err.Error()}
		}
		return fn(a, ctx, by, in)
	}
}

var operations = func() map[string]operation {
	all := map[string]operation{}
	add := func(name string, op operation) { all[name] = op }
	add(handle(OrganizationCreate, (*admin).createOrganization))
	add(handle(OrganizationList, (*admin).listOrganizations))
	add(handle(OrganizationShow, (*admin).showOrganization))
	add(handle(EnvironmentCreate, (*admin).createEnvironment))
	add(handle(EnvironmentList, (*admin).listEnvironments))
	add(handle(EnvironmentShow, (*admin).showEnvironment))
	add(handle(EnvironmentIntegrate, (*admin).integrate))
	add(handle(TenantCreate, (*admin).createTenant))
	add(handle(TenantList, (*admin).listTenants))
	add(handle(TenantShow, (*admin).showTenant))
	add(handle(TenantSet, (*admin).setTenant))
	add(handle(TokenCreate, (*admin).createToken))
	add(handle(TokenList, (*admin).listTokens))
	add(handle(TokenRotate, (*admin).rotateToken))
	add(handle(TokenRevoke, (*admin).revokeToken))
	add(handle(ClientCreate, (*admin).createClient))
	add(handle(ClientList, (*admin).listClients))
	add(handle(ClientRotate, (*admin).rotateClient))
	add(handle(ClientRevoke, (*admin).revokeClient))
	add(handle(UserCreate, (*admin).createUser))
	add(handle(UserList, (*admin).listUsers))
	add(handle(UserShow, (*admin).showUser))
	add(handle(GroupList, (*admin).listGroups))
	add(handle(GroupShow, (*admin).showGroup))
	add(handle(AccessList, (*admin).listAccesses))
	add(handle(LogList, (*admin).listLog))
	add(handle(DerivationList, (*admin).listDerivations))
	add(handle(DerivationShow, (*admin).showDerivation))
	add(handle(AuditVerify, (*admin).verifyAudit))
	add(handle(ServerStatus, (*admin).serverStatus))
	add(handle(SyncStart, (*admin).startSync))
	add(handle(RunList, (*admin).listRuns))
	add(handle(RunShow, (*admin).showRun))
	add(handle(RunAllow, (*admin).allowRun))
	add(handle(RunDiscard, (*admin).discardRun))
	add(handle(RunCancel, (*admin).cancelRun))
	add(handle(PullStatus, (*admin).pullStatus))
	add(handle(CredentialSet, (*admin).setCredential))
	add(handle(CredentialRemove, (*admin).removeCredential))
	add(handle(CredentialTest, (*admin).testCredential))
	add(handle(CredentialList, (*admin).listCredentials))
	add(handle(SecretsRotate, (*admin).rotateSecrets))
	add(handle(AccountProtect, (*admin).protectAccount))
	add(handle(AccessAdministrator, (*admin).setAdministrator))
	add(handle(OperatorCreate, (*admin).createOperator))
	add(handle(OperatorList, (*admin).listOperators))
	add(handle(OperatorRemove, (*admin).removeOperator))
	add(handle(OperatorLoginLink, (*admin).loginLink))
	add(handle(OperatorSetupLink, (*admin).setupLink))
	add(handle(OperatorResetPassword, (*admin).resetOperatorPassword))
	add(handle(OperatorTOTPRemove, (*admin).removeTOTP))
	add(handle(RoleShow, (*admin).showRoles))
	add(handle(RoleSet, (*admin).setRole))
	add(handle(SessionList, (*admin).listSessions))
	add(handle(SessionEnd, (*admin).endSession))
	add(handle(UserForgetSubject, (*admin).forgetSubject))
	add(handle(KeysRotate, (*admin).rotateKeys))
	return all
}()

const (
	adminPrefix  = "/admin/v1/"
	maxAdminBody = 8 << 20 // bytes: extensions, lists of groups
)

// Error is a failed operation, as it crosses the socket.
type Error struct {
	Kind   string `json:"kind"`            // internal, invalid, notFound, exists, conflict, readOnly, unauthorized, forbidden, rateLimited, unavailable
	Field  string `json:"field,omitempty"` // of the input
	Detail string `json:"detail"`
}

func (e *Error) Error() string { return e.Detail }

// adminKinds is how the kinds of the domain's errors read here.
var adminKinds = [directory.ErrorKinds]struct {
	name   string
	status int
}{
	directory.Internal:     {"internal", http.StatusInternalServerError},
	directory.Invalid:      {"invalid", http.StatusBadRequest},
	directory.NotFound:     {"notFound", http.StatusNotFound},
	directory.Exists:       {"exists", http.StatusConflict},
	directory.Conflict:     {"conflict", http.StatusConflict},
	directory.ReadOnly:     {"readOnly", http.StatusConflict},
	directory.Unauthorized: {"unauthorized", http.StatusUnauthorized},
	directory.Forbidden:    {"forbidden", http.StatusForbidden},
	directory.RateLimited:  {"rateLimited", http.StatusTooManyRequests},
	directory.Unavailable:  {"unavailable", http.StatusServiceUnavailable},
}

// toAdminError says an error in the words of the admin API. The caller is the operator, who may
// know the cause of everything.
func toAdminError(err error) (*Error, int) {
	k := adminKinds[directory.KindOf(err)]
	e := &Error{Kind: k.name, Detail: strings.TrimPrefix(err.Error(), "directory: ")}
	var d *directory.Error
	if errors.As(err, &d) {
		e.Field = d.Field
	}
	return e, k.status
}

func (a *admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := a.serve(r)
	status := http.StatusOK
	if err != nil {
		var e *Error
		e, status = toAdminError(err)
		out = map[string]any{"error": e}
	}
	body, err := json.Marshal(out)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"kind":"internal","detail":"the answer cannot be written"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (a *admin) serve(r *http.Request) (any, error) {
	name, ok := strings.CutPrefix(r.URL.Path, adminPrefix)
	op := operations[name]
	switch {
	case !ok || op == nil:
		return nil, &directory.Error{Kind: directory.NotFound, Detail: fmt.Sprintf("this server does not know the operation %q: client and server should be of the same version (this is %s)", name, a.version)}
	case r.Method != http.MethodPost:
		return nil, &directory.Error{Kind: directory.Invalid, Detail: "operations are asked for with POST"}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAdminBody+1))
	if err != nil {
		return nil, &directory.Error{Kind: directory.Invalid, Detail: "the request cannot be read", Err: err}
	}
	if len(body) > maxAdminBody {
		return nil, &directory.Error{Kind: directory.Invalid, Detail: fmt.Sprintf("the request is larger than %d bytes", maxAdminBody)}
	}
	by := directory.Actor{Role: directory.RoleOperator, Channel: "cli", ID: callerOf(r.Context()), RequestID: requestID(r.Header["X-Request-Id"])}
	return op(a, r.Context(), by, body)
}

type peerKey struct{}

// withPeer notes who opened a connection to the admin socket.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if uid, ok := peerUser(c); ok {
		return context.WithValue(ctx, peerKey{}, uid)
	}
	return ctx
}

// callerOf names the operating-system user who asks: the one at the other end of the socket, or
// of this process.
func callerOf(ctx context.Context) string {
	uid, ok := ctx.Value(peerKey{}).(int)
	if !ok {
		uid = os.Getuid()
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(uid)
}
