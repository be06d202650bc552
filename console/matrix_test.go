package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/console"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// Everybody who may ask: the columns of the role matrix.
const (
	nobody       = iota
	plainUser    // a user of the customer
	admin        // environment administrator of it
	otherAdmin   // of the other customer
	partner      // of it
	otherPartner // of the other customer
	theOperator
	everybody
)

var whoNames = [everybody]string{"nobody", "user", "administrator", "other administrator", "partner", "other partner", "operator"}

// A class is what somebody meets: open is whatever the page says to who may come in (2xx, 3xx to a page of ours, 4xx
// about the form).
type class string

const (
	signIn  class = "to sign-in"
	hidden  class = "404"
	refuses class = "403"
	open    class = "open"
)

// matrixRow is one path: who meets what, and what stands for the parts that vary.
type matrixRow struct {
	who  [everybody]class
	fill func(*apptest.World) map[string]string // name in the path -> value
	form url.Values                             // of POST; a form that reaches the decision about rights and changes little
	of   func(*apptest.World) url.Values        // instead: a form with ids of this world
}

// formIn is the form of a row in a world.
func (r *matrixRow) formIn(w *apptest.World) url.Values {
	if r.of != nil {
		return r.of(w)
	}
	return r.form
}

func staffOnly(admin, otherAdmin, partner, otherPartner class) [everybody]class {
	return [everybody]class{signIn, refuses, admin, otherAdmin, partner, otherPartner, open}
}

// Kinds of rows.
var (
	ownList      = staffOnly(open, open, open, open)             // everybody sees their own
	partnerList  = staffOnly(refuses, refuses, open, open)       // of partners and operators
	operatorOnly = staffOnly(refuses, refuses, refuses, refuses) // of the server as a whole
	ofTheirs     = staffOnly(open, hidden, open, hidden)         // a thing of the customer that partner and administrator see
	ofPartner    = staffOnly(hidden, hidden, open, hidden)       // a thing of the customer that its partner sees
	adminActs    = staffOnly(open, hidden, refuses, hidden)      // an act that administrators do and partners do not
	operatorActs = staffOnly(refuses, hidden, refuses, hidden)   // an act on what all of them see
	partnerOnly  = staffOnly(refuses, refuses, open, hidden)     // a thing of a kind that no administrator has to do with
)

func person(who func(*apptest.World) *directory.Account) func(*apptest.World) map[string]string {
	return func(w *apptest.World) map[string]string { return map[string]string{"id": who(w).ID.String()} }
}

var plainOf = person(func(w *apptest.World) *directory.Account { return w.Fjord.Plain })

// What the parts of paths stand for.
func environmentOf(w *apptest.World) map[string]string {
	return map[string]string{"id": w.Fjord.Production.ID.String()}
}

// runOf is the run that furnishMatrix keeps, and webhookOf the webhook: they have the id of the environment.
var runOf, webhookOf = environmentOf, environmentOf

func tenantOf(w *apptest.World) map[string]string {
	return map[string]string{"id": w.Fjord.Tenant.ID.String()}
}

func userOf(w *apptest.World) map[string]string {
	return map[string]string{"user": w.Fjord.Plain.ID.String(), "environment": w.Fjord.Production.ID.String()}
}

func groupOf(w *apptest.World) map[string]string {
	return map[string]string{"tenant": w.Fjord.Tenant.ID.String(), "group": w.Fjord.Group.ID.String()}
}

// lineOf is the newest line of the log that an administrator of Production sees too.
func lineOf(w *apptest.World) map[string]string {
	w.Helper()
	line := map[string]string{"tenant": w.Fjord.Tenant.ID.String()}
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		return sn.EnvironmentLog(w.Fjord.Production.ID, 0, true, func(e *directory.LogEvent) bool {
			line["sequence"] = strconv.FormatUint(e.Sequence, 10)
			return e.TenantID != w.Fjord.Tenant.ID
		})
	}))
	return line
}

func deliveryOf(w *apptest.World) map[string]string {
	return map[string]string{"id": w.Fjord.Production.ID.String(), "delivery": fmt.Sprint("evt_", delivered(w))}
}

func apiTokenOf(w *apptest.World) map[string]string {
	w.Helper()
	id := ""
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		all, err := sn.SeeAPITokens(apptest.Operator)
		for _, t := range all {
			if t.Revoked.IsZero() || id == "" {
				id = t.ID.String()
			}
		}
		return err
	}))
	return map[string]string{"id": id}
}

// tokenForm names the newest live Secret Token of the tenant.
func tokenForm(w *apptest.World) url.Values {
	w.Helper()
	form := url.Values{"overlapHours": {"0"}}
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		all, err := sn.Tokens(w.Fjord.Tenant.ID, directory.SecretToken)
		for _, t := range all {
			if t.Live(w.Now()) || !form.Has("token") {
				form.Set("token", t.ID.String())
			}
		}
		return err
	}))
	return form
}

// credentialForm names a credential of the tenant, which it makes when the one before was removed.
func credentialForm(w *apptest.World) url.Values {
	w.Helper()
	_, err := w.Service.SetCredential(w.Context(), apptest.Operator, directory.Credential{TenantID: w.Fjord.Tenant.ID, Name: directory.SignInCredential, Kind: "federated", TokenFile: "/dev/null"})
	w.Must(err)
	return url.Values{"for": {directory.SignInCredential}}
}

// linkForm is the form that revokes the setup link, which it makes when there is none.
func linkForm(w *apptest.World) url.Values {
	w.Helper()
	_, err := w.Service.CreateSetupLink(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, auth.Hash(auth.NewSecret().Text), time.Hour)
	w.Must(err)
	return nil
}

func reachForm(more url.Values) func(*apptest.World) url.Values {
	return func(w *apptest.World) url.Values {
		form := url.Values{"organization": {w.Fjord.Organization.ID.String()}, "organizations": {w.Fjord.Organization.ID.String()}, "environment": {w.Fjord.Production.ID.String()}, "reach": {"some"}}
		for name, values := range more {
			form[name] = values
		}
		return form
	}
}

// matrix has a row for every path of the staff, keyed by method and path. TestRoleMatrix fails without it.
var matrix = map[string]matrixRow{
	"GET /environments":                           {who: ownList},
	"GET /environments/new":                       {who: operatorOnly},
	"POST /environments/new":                      {who: operatorOnly, of: reachForm(nil)},
	"GET /organizations/new":                      {who: operatorOnly},
	"POST /organizations/new":                     {who: operatorOnly, form: url.Values{"name": {""}}},
	"GET /environments/{id}":                      {who: ofTheirs, fill: environmentOf},
	"GET /environments/{id}/administrators":       {who: ofTheirs, fill: environmentOf},
	"POST /environments/{id}/administrators":      {who: operatorActs, fill: environmentOf, form: url.Values{"person": {"nobody@nowhere.example"}}},
	"GET /environments/{id}/integration":          {who: ofTheirs, fill: environmentOf},
	"POST /environments/{id}/integration":         {who: adminActs, fill: environmentOf, of: integrationForm},
	"GET /environments/{id}/integration/progress": {who: ofTheirs, fill: environmentOf},

	"POST /environments/{id}/sync": {who: adminActs, fill: environmentOf, form: url.Values{"preview": {"1"}}},
	"GET /runs":                    {who: ownList},
	"GET /runs/{id}":               {who: ofTheirs, fill: runOf},
	"GET /runs/{id}/progress":      {who: ofTheirs, fill: runOf},
	"POST /runs/{id}/allow":        {who: adminActs, fill: runOf, form: url.Values{"hash": {"wrong"}, "reason": {"because"}}},
	"POST /runs/{id}/discard":      {who: adminActs, fill: runOf, form: url.Values{"reason": {""}}},
	"POST /runs/{id}/cancel":       {who: adminActs, fill: runOf},
	"GET /runs/{id}/export.csv":    {who: ofTheirs, fill: runOf},
	"GET /runs/{id}/export.json":   {who: ofTheirs, fill: runOf},

	"GET /tenants":                          {who: partnerList},
	"GET /tenants/new":                      {who: partnerList},
	"POST /tenants/new":                     {who: partnerList, form: url.Values{"name": {""}}},
	"GET /tenants/{id}":                     {who: ofPartner, fill: tenantOf},
	"GET /tenants/{id}/settings":            {who: ofPartner, fill: tenantOf},
	"POST /tenants/{id}/settings":           {who: ofPartner, fill: tenantOf, form: url.Values{"burst": {"many"}}},
	"GET /tenants/{id}/applications":        {who: ofPartner, fill: tenantOf},
	"POST /tenants/{id}/applications":       {who: ofPartner, fill: tenantOf, form: url.Values{"graph.clientId": {"wrong"}}},
	"GET /tenants/{id}/credentials":         {who: ofPartner, fill: tenantOf},
	"POST /tenants/{id}/credentials":        {who: ofPartner, fill: tenantOf, form: url.Values{"for": {"graph"}, "kind": {"secret"}, "secret": {""}}},
	"GET /tenants/{id}/credentials/remove":  {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/credentials/remove": {who: ofPartner, fill: tenantOf, of: credentialForm},
	"GET /tenants/{id}/test":                {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/test":               {who: ofPartner, fill: tenantOf},
	"GET /tenants/{id}/tokens":              {who: ofPartner, fill: tenantOf},
	"POST /tenants/{id}/tokens":             {who: ofPartner, fill: tenantOf, form: url.Values{"name": {"x"}, "days": {"many"}}},
	"GET /tenants/{id}/tokens/rotate":       {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/tokens/rotate":      {who: ofPartner, fill: tenantOf, of: tokenForm},
	"GET /tenants/{id}/tokens/revoke":       {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/tokens/revoke":      {who: ofPartner, fill: tenantOf, of: tokenForm},
	"GET /tenants/{id}/clients":             {who: ofPartner, fill: tenantOf},
	"POST /tenants/{id}/clients":            {who: ofPartner, fill: tenantOf, form: url.Values{"days": {"many"}}},
	"GET /tenants/{id}/clients/rotate":      {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/clients/rotate":     {who: ofPartner, fill: tenantOf, form: url.Values{"client": {"matrix"}, "overlapHours": {"0"}}},
	"GET /tenants/{id}/clients/revoke":      {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/clients/revoke":     {who: ofPartner, fill: tenantOf, form: url.Values{"client": {"matrix"}}},
	"GET /tenants/{id}/guide":               {who: ofPartner, fill: tenantOf},
	"GET /tenants/{id}/guide/token":         {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/guide/token":        {who: ofPartner, fill: tenantOf},
	"GET /tenants/{id}/guide/rotate":        {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/guide/rotate":       {who: ofPartner, fill: tenantOf, of: tokenForm},
	"GET /tenants/{id}/guide/ids":           {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/guide/ids":          {who: ofPartner, fill: tenantOf, form: url.Values{"directoryId": {"wrong"}}},
	"GET /tenants/{id}/guide/credential":    {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/guide/credential":   {who: ofPartner, fill: tenantOf, form: url.Values{"for": {"graph"}, "kind": {"secret"}, "secret": {""}}},
	"GET /tenants/{id}/guide/test":          {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/guide/test":         {who: ofPartner, fill: tenantOf},
	"GET /tenants/{id}/guide/live":          {who: ofPartner, fill: tenantOf},
	"GET /tenants/{id}/link":                {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/link":               {who: ofPartner, fill: tenantOf, form: url.Values{"hours": {"1"}}},
	"GET /tenants/{id}/link/revoke":         {who: ownList, fill: tenantOf},
	"POST /tenants/{id}/link/revoke":        {who: partnerOnly, fill: tenantOf, of: linkForm},

	"GET /users":                              {who: ownList},
	"GET /users/add":                          {who: ownList},
	"POST /users/add":                         {who: adminActs, of: reachForm(url.Values{"email": {"newcomer@fjord.example"}, "name": {"New Comer"}})},
	"GET /users/{user}":                       {who: ofTheirs, fill: userOf},
	"POST /users/{user}/edit":                 {who: ofTheirs, fill: userOf, form: url.Values{"name": {"Somebody Else"}}},
	"POST /users/{user}/default-environment":  {who: ofTheirs, fill: userOf, of: reachForm(nil)},
	"GET /users/{user}/access/{environment}":  {who: ofTheirs, fill: userOf},
	"POST /users/{user}/access/{environment}": {who: adminActs, fill: userOf, form: url.Values{"menus": {"Orders"}}},
	"POST /users/{user}/sessions":             {who: operatorActs, fill: userOf},
	"POST /users/{user}/sync":                 {who: adminActs, fill: userOf},
	"POST /users/{user}/forget":               {who: operatorActs, fill: userOf},
	"POST /users/{user}/link":                 {who: operatorActs, fill: userOf},
	"GET /conflicts":                          {who: ownList},
	"GET /groups":                             {who: ownList},
	"GET /groups/{tenant}/{group}":            {who: ofTheirs, fill: groupOf},

	"GET /log":                     {who: ownList},
	"GET /log/live":                {who: ownList},
	"GET /log/export":              {who: ownList},
	"GET /log/{tenant}/{sequence}": {who: ofTheirs, fill: lineOf},
	"GET /audit":                   {who: operatorOnly},
	"POST /audit":                  {who: operatorOnly},
	"GET /audit/export":            {who: operatorOnly},
	"GET /report":                  {who: ownList},
	"GET /report/export":           {who: ownList},

	"GET /webhooks":                             {who: partnerList},
	"GET /webhooks/new":                         {who: partnerList},
	"POST /webhooks/new":                        {who: partnerList, of: reachForm(url.Values{"name": {""}})},
	"GET /webhooks/{id}":                        {who: partnerOnly, fill: webhookOf},
	"GET /webhooks/{id}/live":                   {who: partnerOnly, fill: webhookOf},
	"GET /webhooks/{id}/edit":                   {who: partnerOnly, fill: webhookOf},
	"POST /webhooks/{id}/edit":                  {who: partnerOnly, fill: webhookOf, of: reachForm(url.Values{"name": {""}})},
	"POST /webhooks/{id}/act":                   {who: partnerOnly, fill: webhookOf, form: url.Values{"do": {"pause"}}},
	"POST /webhooks/{id}/rotate":                {who: partnerOnly, fill: webhookOf, form: url.Values{"hours": {"0"}}},
	"GET /webhooks/{id}/deliveries/{delivery}":  {who: partnerOnly, fill: deliveryOf},
	"POST /webhooks/{id}/deliveries/{delivery}": {who: partnerOnly, fill: deliveryOf},

	"GET /api":                     {who: ownList},
	"GET /api-tokens":              {who: partnerList},
	"POST /api-tokens":             {who: partnerList, of: reachForm(url.Values{"name": {""}})},
	"GET /api-tokens/new":          {who: partnerList},
	"GET /api-tokens/{id}":         {who: partnerOnly, fill: apiTokenOf},
	"POST /api-tokens/{id}/rotate": {who: partnerOnly, fill: apiTokenOf, form: url.Values{"overlap": {"0"}}},
	"POST /api-tokens/{id}/revoke": {who: partnerOnly, fill: apiTokenOf},

	"GET /search": {who: ownList},
	"POST /start": {who: ownList},

	"GET /settings":                            {who: operatorOnly},
	"GET /settings/configuration":              {who: operatorOnly},
	"GET /settings/keys":                       {who: operatorOnly},
	"POST /settings/keys":                      {who: operatorOnly},
	"GET /settings/people":                     {who: operatorOnly},
	"POST /settings/people":                    {who: operatorOnly, form: url.Values{"who": {"nobody@nowhere.example"}, "role": {"operator"}}},
	"POST /settings/people/invite":             {who: operatorOnly, form: url.Values{"email": {"wrong"}}},
	"GET /settings/people/{id}":                {who: operatorOnly, fill: plainOf},
	"POST /settings/people/{id}":               {who: operatorOnly, fill: plainOf, form: url.Values{}},
	"POST /settings/people/{id}/link":          {who: operatorOnly, fill: plainOf, form: url.Values{"kind": {"sign-in"}}},
	"POST /settings/people/{id}/second-factor": {who: operatorOnly, fill: plainOf},
}

// integrationForm is the form of the integration as it is, but for a menu.
func integrationForm(w *apptest.World) url.Values {
	return url.Values{"enabled": {"1"}, "tenant": {w.Fjord.Tenant.ID.String()}, "groups": {w.Fjord.GroupID}, "menus": {"Stock"}}
}

// classOf tells what an answer is to who asked.
func classOf(a apptest.Answer) class {
	switch {
	case a.Status == http.StatusSeeOther && (a.To == "/login" || strings.HasPrefix(a.To, "/login?") || strings.HasPrefix(a.To, "/signed-out")):
		return signIn
	case a.Status == http.StatusNotFound:
		return hidden
	case a.Status == http.StatusForbidden:
		return refuses
	case a.Status >= http.StatusInternalServerError:
		return class(fmt.Sprint(a.Status))
	}
	return open
}

// routesOfStaff lists the pages and forms of the staff of the program as it runs.
func routesOfStaff() (all []console.Route) {
	for _, r := range console.New(console.Config{}).Routes() {
		if r.Access == console.Staff {
			all = append(all, r)
		}
	}
	return all
}

// pathOf fills the parts of a path that vary.
func pathOf(t *testing.T, path string, values map[string]string) string {
	t.Helper()
	for name, value := range values {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	if strings.Contains(path, "{") {
		t.Fatalf("%s: the matrix fills only a part of it", path)
	}
	return path
}

// ask sends a request for a route as a page of ours would.
func ask(b *apptest.Browser, method, path string, form url.Values) apptest.Answer {
	b.Helper()
	if method != http.MethodPost {
		if len(form) > 0 {
			path += "?" + form.Encode()
		}
		return stream(b, path)
	}
	return b.Do(method, path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded", "Origin", b.Server.URL, "Sec-Fetch-Site", "same-origin")
}

// TestRoleMatrix asks for every route of the staff as everybody. Each meets what the matrix says; the form changes
// nothing for who is refused, because the operator, who comes last, still finds the thing.
func TestRoleMatrix(t *testing.T) {
	skipShort(t)
	t.Parallel()
	w := apptest.New(t, nil)
	furnishMatrix(w)
	routes := routesOfStaff()
	var missing []string
	for _, r := range routes {
		if _, ok := matrix[r.Method+" "+r.Path]; !ok {
			missing = append(missing, r.Method+" "+r.Path)
		}
	}
	if len(missing) > 0 {
		t.Errorf("the matrix has no row for:\n%s", strings.Join(missing, "\n"))
	}
	for name := range matrix {
		if !slices.ContainsFunc(routes, func(r console.Route) bool { return r.Method+" "+r.Path == name }) {
			t.Errorf("the matrix has a row for %s, which nothing serves", name)
		}
	}
	accounts := [everybody]*directory.Account{nil, w.Fjord.Plain, w.Fjord.Admin, w.Nordwind.Admin, w.Fjord.Partner, w.Nordwind.Partner, w.Boss}
	for _, r := range routes {
		row, ok := matrix[r.Method+" "+r.Path]
		if !ok {
			continue
		}
		values := map[string]string{}
		if row.fill != nil {
			values = row.fill(w)
		}
		path := pathOf(t, r.Path, values)
		for who, account := range accounts {
			form, b := row.formIn(w), w.SignIn(account)
			before := written(w)
			got := ask(b, r.Method, path, form)
			if c := classOf(got); c != row.who[who] {
				t.Errorf("%s %s as %s: %s (%d to %q), not %s", r.Method, r.Path, whoNames[who], c, got.Status, got.To, row.who[who])
			}
			if row.who[who] == open {
				waitForRun(w, got.To)
			} else if after := written(w); after != before {
				t.Errorf("%s %s as %s, who may not, did something: %s, before %s", r.Method, r.Path, whoNames[who], after, before)
			}
		}
	}
}

// waitForRun waits for the end of the run that an answer leads to, if it leads to one.
func waitForRun(w *apptest.World, to string) {
	w.Helper()
	path, _, _ := strings.Cut(to, "?")
	if id, ok := directory.ParseID(strings.TrimPrefix(path, "/runs/")); ok {
		w.WaitRun(id)
	}
}

// TestTheMatrixKnowsBothCustomers sees that the rows with ids are about the first customer: the other one's
// administrator and partner must be strangers to them, not to everything.
func TestTheMatrixKnowsBothCustomers(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	for _, who := range []*directory.Account{w.Nordwind.Admin, w.Nordwind.Partner} {
		if a := w.SignIn(who).Get("/environments"); a.Status != http.StatusOK {
			t.Errorf("%s sees nothing at all: %d", who.Name, a.Status)
		}
	}
}

// furnishMatrix makes what the rows name beyond what a world has: a run that waits for a decision, a webhook with a delivery
// that was given up, a client, and an API token, all of the first customer.
func furnishMatrix(w *apptest.World) {
	w.Helper()
	ctx, c := w.Context(), w.Fjord
	run := directory.Run{ID: c.Production.ID, EnvironmentID: c.Production.ID, TenantID: c.Tenant.ID, Actor: apptest.Operator, State: directory.RunQuarantined, Trigger: directory.TriggerManual, Started: w.Now(), Ended: w.Now(), Hash: "hash"}
	w.Must(w.Service.SaveRun(ctx, &run, nil))
	secret := auth.NewAPISecret()
	_, err := w.Service.CreateAPIToken(ctx, apptest.Operator, directory.NewAPIToken{Name: "Portal " + evil, Role: directory.RolePartner, Reach: directory.Reach{Organizations: []directory.ID{c.Organization.ID}},
		Scopes: []string{"users:read"}, Hash: auth.Hash(secret.Text), Hint: secret.Hint})
	w.Must(err)
	_, err = w.App.Desk().CreateClient(ctx, apptest.Operator, c.Tenant.ID, desk.ClientInput{ClientID: "matrix"})
	w.Must(err)
	furnishWebhook(w)
}

// furnishWebhook makes a webhook that has the id of the environment, and writes down of one delivery that the endpoint refused
// it. The server itself reaches nothing at its address.
func furnishWebhook(w *apptest.World) {
	w.Helper()
	ctx, id := w.Context(), w.Fjord.Production.ID
	name, address := "Portal "+evil, "https://127.0.0.1:1/"+url.PathEscape(evil)
	secret := directory.NewWebhookSecret{ID: w.Service.NewID()}
	var err error
	secret.Sealed, err = w.App.Desk().Seal([]byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), directory.WebhookSecretPlace(id, secret.ID))
	w.Must(err)
	_, err = w.Service.CreateWebhook(ctx, apptest.Operator, id, directory.WebhookInput{Name: &name, URL: &address, Reach: &directory.Reach{Organizations: []directory.ID{w.Fjord.Organization.ID}}}, nil, secret)
	w.Must(err)
	for { // the server moves the cursor as well
		var status *directory.WebhookStatus
		w.Must(w.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
			status, err = sn.WebhookStatus(id)
			return err
		}))
		err := w.Service.AdmitDeliveries(ctx, id, status.Cursor, status.Cursor, []directory.Delivery{{Sequence: delivered(w), Type: "user.created", Time: w.Now()}})
		if directory.KindOf(err) != directory.Conflict || err == nil {
			w.Must(err)
			break
		}
	}
	w.Must(w.Service.SettleDelivery(ctx, id, delivered(w), directory.Settlement{State: directory.DeliveryDead, Attempt: directory.Attempt{At: w.Now(), Status: http.StatusInternalServerError, Error: evil, Answer: evil}}))
}

// delivered is the event whose delivery furnishWebhook writes down: the first one of the first customer.
func delivered(w *apptest.World) (sequence uint64) {
	w.Helper()
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		return sn.Outbox(0, func(e *directory.OutboxEvent) bool {
			sequence = e.Sequence
			return e.TenantID != w.Fjord.Tenant.ID
		})
	}))
	return sequence
}
