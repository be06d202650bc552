package desk_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// claims are those of a security event token.
type claims struct {
	Issuer   string `json:"iss"`
	IssuedAt int64  `json:"iat"`
	ID       string `json:"jti"`
	Audience string `json:"aud"`
	Txn      string `json:"txn"`
	Time     int64  `json:"toe"`
	Base     string `json:"scim_base"`
	Subject  struct {
		Format     string `json:"format"`
		URI        string `json:"uri"`
		ExternalID string `json:"externalId"`
		ID         string `json:"id"`
	} `json:"sub_id"`
	Events map[string]json.RawMessage `json:"events"`
}

// names are the events of a token without what all of them begin with, in order.
func (c *claims) names() string {
	var names []string
	for uri := range c.Events {
		names = append(names, strings.TrimPrefix(uri, "urn:ietf:params:scim:event:prov:"))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (c *claims) attributes(t testing.TB, name string) []string {
	t.Helper()
	var e struct{ Attributes []string }
	if err := json.Unmarshal(c.Events["urn:ietf:params:scim:event:prov:"+name], &e); err != nil {
		t.Fatalf("%s: %v", c.Events, err)
	}
	slices.Sort(e.Attributes)
	return e.Attributes
}

// verify checks a token as a receiver does, by the keys that the server publishes.
func verify(w *apptest.World, token string) *claims {
	w.Helper()
	keys := w.SignIn(nil).Get("/.well-known/jwks.json")
	var set jose.JSONWebKeySet
	w.Must(json.Unmarshal([]byte(keys.Body), &set))
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	w.Must(err)
	h := signed.Signatures[0].Header
	if h.ExtraHeaders[jose.HeaderType] != "secevent+jwt" || h.Algorithm != "ES256" || len(set.Key(h.KeyID)) != 1 {
		w.Fatalf("header %+v, keys %s", h, keys.Body)
	}
	body, err := signed.Verify(set.Key(h.KeyID)[0])
	w.Must(err)
	var all map[string]any
	w.Must(json.Unmarshal(body, &all))
	for _, name := range []string{"sub", "exp", "nbf"} {
		if all[name] != nil {
			w.Errorf("there is %s: %s", name, body)
		}
	}
	c := &claims{}
	w.Must(json.Unmarshal(body, c))
	if c.Issuer != w.Server.URL || c.ID == "" || c.IssuedAt == 0 || len(c.Events) == 0 {
		w.Errorf("%s", body)
	}
	return c
}

// tokens is a receiver of security event tokens (RFC 8935).
type tokens struct {
	testing.TB
	*httptest.Server
	got chan received

	mu     sync.Mutex
	answer func(w http.ResponseWriter) // nil: 202
}

func newTokens(t testing.TB) *tokens {
	r := &tokens{TB: t, got: make(chan received, 1000)}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		answer := r.answer
		r.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusAccepted)
		} else {
			answer(w)
		}
		r.got <- received{q.Header, body}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *tokens) answers(fn func(w http.ResponseWriter)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = fn
}

func (r *tokens) raw() received {
	r.Helper()
	select {
	case q := <-r.got:
		return q
	case <-time.After(time.Minute):
		r.Fatal("nothing came")
	}
	panic("unreachable")
}

func (r *tokens) next(w *apptest.World) *claims {
	r.Helper()
	return verify(w, string(r.raw().body))
}

// received is one request that a receiver got.
type received struct {
	header http.Header
	body   []byte
}

// world is a server that may reach the receiver.
func (r *tokens) world() *apptest.World {
	r.Helper()
	file := filepath.Join(r.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}), 0o600); err != nil {
		r.Fatal(err)
	}
	return apptest.New(r, func(c *app.Config) { c.CAFile, c.Webhooks.AllowPrivate = file, []string{"127.0.0.1"} })
}

// pushActive has the directory of a customer say that somebody is active, or not.
func pushActive(w *apptest.World, c *apptest.Customer, person int, active bool) {
	w.Helper()
	pushed(w, c, person, func(p *directory.Profile) { p.Active = active })
}

// hook makes a webhook of a customer as its partner does.
func hook(w *apptest.World, c *apptest.Customer, in map[string]any) desk.NewWebhook {
	w.Helper()
	in["name"], in["organizations"] = "events", []directory.ID{c.Organization.ID}
	var made desk.NewWebhook
	if got := w.PartnerAPI(c).Call(http.MethodPost, "/webhooks", in, &made); got.Status != http.StatusCreated {
		w.Fatalf("%d\n%s", got.Status, got.Body)
	}
	return made
}

// scim sends a request of a customer's directory.
func scim(w *apptest.World, c *apptest.Customer, method, path, body string) (id string) {
	w.Helper()
	got := w.SignIn(nil).Do(method, "/scim/"+c.Tenant.Name+"/v2"+path, strings.NewReader(body), "Authorization", "Bearer "+c.Token, "Content-Type", "application/scim+json")
	if got.Status >= 300 {
		w.Fatalf("%s %s: %d %s", method, path, got.Status, got.Body)
	}
	var resource struct{ ID string }
	if got.Body != "" {
		w.Must(json.Unmarshal([]byte(got.Body), &resource))
	}
	return resource.ID
}

const (
	userSchema  = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]`
	groupSchema = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"]`
	patchSchema = `"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]`
)

// TestTokensTellOfWhatADirectoryDoes is each kind of event, from a request of a directory to a receiver that checks the signature.
func TestTokensTellOfWhatADirectoryDoes(t *testing.T) {
	t.Parallel()
	r := newTokens(t)
	w := r.world()
	made := hook(w, w.Fjord, map[string]any{"format": "set-push", "url": r.URL + "/events", "audience": "https://hr.fjord.example/"})
	user := `{` + userSchema + `,"userName":"piet@fjord.example","externalId":"piet","displayName":"Piet","active":%}`
	withActive := func(active string) string { return strings.Replace(user, "%", active, 1) }
	var id, group string
	seen, told := map[string]bool{}, map[string]bool{}
	for _, step := range []struct {
		name       string
		do         func()
		want       string
		attributes []string
		version    string
	}{
		{"a new person", func() { id = scim(w, w.Fjord, http.MethodPost, "/Users", withActive("true")) }, "activate create:notice", []string{"active", "displayName", "externalId", "userName"}, `W/"1"`},
		{"changed in part", func() {
			scim(w, w.Fjord, http.MethodPatch, "/Users/"+id, `{`+patchSchema+`,"Operations":[{"op":"replace","path":"displayName","value":"Piet B"},{"op":"add","path":"title","value":"Boss"}]}`)
		}, "patch:notice", []string{"displayName", "title"}, `W/"2"`},
		{"disabled", func() {
			scim(w, w.Fjord, http.MethodPatch, "/Users/"+id, `{`+patchSchema+`,"Operations":[{"op":"Replace","path":"active","value":"False"}]}`)
		}, "deactivate patch:notice", []string{"active"}, `W/"3"`},
		{"replaced, and enabled", func() { scim(w, w.Fjord, http.MethodPut, "/Users/"+id, withActive("true")) }, "activate put:notice", []string{"active", "displayName", "title"}, `W/"4"`},
		{"a new group", func() {
			group = scim(w, w.Fjord, http.MethodPost, "/Groups", `{`+groupSchema+`,"displayName":"Crew","externalId":"crew","members":[{"value":"`+id+`"}]}`)
		}, "create:notice", []string{"displayName", "externalId", "members"}, `W/"1"`},
		{"members come and go", func() {
			scim(w, w.Fjord, http.MethodPatch, "/Groups/"+group, `{`+patchSchema+`,"Operations":[{"op":"remove","path":"members","value":[{"value":"`+id+`"}]}]}`)
		}, "patch:notice", []string{"members"}, `W/"2"`},
		{"a group replaced", func() {
			scim(w, w.Fjord, http.MethodPut, "/Groups/"+group, `{`+groupSchema+`,"displayName":"The crew","externalId":"crew"}`)
		}, "put:notice", []string{"displayName"}, `W/"3"`},
		{"a group removed", func() { scim(w, w.Fjord, http.MethodDelete, "/Groups/"+group, "") }, "delete", nil, ""},
		{"a person removed", func() { scim(w, w.Fjord, http.MethodDelete, "/Users/"+id, "") }, "delete", nil, ""},
	} {
		scim(w, w.Nordwind, http.MethodPost, "/Users", `{`+userSchema+`,"userName":"`+step.name+`"}`) // nothing of it is told
		step.do()
		c := r.next(w)
		if c.names() != step.want {
			t.Fatalf("%s: %s, not %s", step.name, c.names(), step.want)
		}
		uri, external := "/Users/"+id, "piet"
		if strings.Contains(step.name, "group") || strings.Contains(step.name, "members") {
			uri, external = "/Groups/"+group, "crew"
		}
		if c.Subject.Format != "scim" || c.Subject.URI != uri || c.Subject.ExternalID != external || c.Audience != "https://hr.fjord.example/" || c.Base != w.Server.URL+"/scim/fjord/v2" ||
			!strings.HasPrefix(c.Txn, "txn_") || c.Time == 0 || !strings.HasSuffix(c.ID, "."+made.Webhook.ID.String()) || seen[c.ID] || seen[c.Txn] {
			t.Errorf("%s: %+v", step.name, c)
		}
		seen[c.ID], seen[c.Txn] = true, true
		for name, body := range c.Events {
			told[name] = true
			name = strings.TrimPrefix(name, "urn:ietf:params:scim:event:prov:")
			want := `{}`
			if strings.HasSuffix(name, ":notice") {
				want = ""
				if got := c.attributes(t, name); !slices.Equal(got, step.attributes) {
					t.Errorf("%s: attributes %q", step.name, got)
				}
				var e struct{ Version string }
				w.Must(json.Unmarshal(body, &e))
				if e.Version != step.version {
					t.Errorf("%s: version %q", step.name, e.Version)
				}
			}
			if want != "" && string(body) != want {
				t.Errorf("%s: %s", step.name, body)
			}
		}
	}
	// Disabled from the start.
	scim(w, w.Fjord, http.MethodPost, "/Users", `{`+userSchema+`,"userName":"later@fjord.example","active":false}`)
	if c := r.next(w); c.names() != "create:notice deactivate" {
		t.Errorf("%+v", c)
	}
	if len(r.got) > 0 {
		t.Errorf("more came than should: %s", (<-r.got).body)
	}
	// What was told is what the server announces (RFC 9967 section 4).
	var config struct {
		SecurityEvents struct {
			AsyncRequest string
			EventURIs    []string
		}
	}
	got := w.SignIn(nil).Do(http.MethodGet, "/scim/fjord/v2/ServiceProviderConfig", nil, "Authorization", "Bearer "+w.Fjord.Token)
	w.Must(json.Unmarshal([]byte(got.Body), &config))
	slices.Sort(config.SecurityEvents.EventURIs)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(told)), config.SecurityEvents.EventURIs); diff != "" || config.SecurityEvents.AsyncRequest != "none" {
		t.Errorf("%s\n%s", diff, got.Body)
	}
}

// TestRequestsOfTokens: what is posted besides, and that a test is a verification event.
func TestRequestsOfTokens(t *testing.T) {
	t.Parallel()
	r := newTokens(t)
	w := r.world()
	made := hook(w, w.Fjord, map[string]any{"format": "set-push", "url": r.URL + "/events"})
	path := "/webhooks/" + made.Webhook.ID.String()
	partner := w.PartnerAPI(w.Fjord)
	if got := partner.Call(http.MethodPost, path+"/test", nil, nil); got.Status != http.StatusAccepted {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	q := r.raw()
	for name, want := range map[string]string{"Content-Type": "application/secevent+jwt", "Accept": "application/json", "Authorization": "", "Webhook-Signature": ""} {
		if got := q.header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	c := verify(w, string(q.body))
	if c.names() != "https://schemas.openid.net/secevent/ssf/event-type/verification" || c.Subject.Format != "opaque" || c.Subject.ID != made.Webhook.ID.String() || c.Audience != r.URL+"/events" {
		t.Errorf("%+v", c)
	}
	partner.Call(http.MethodPost, path+"/rotate", map[string]any{"overlapHours": 1}, nil) // secrets have nothing to do with it
	pushActive(w, w.Fjord, 2, false)
	if q := r.raw(); len(q.header.Values("Authorization")) > 0 {
		t.Errorf("%v", q.header)
	}
	w.Advance(2 * time.Hour)
	pushActive(w, w.Fjord, 2, true)
	if q := r.raw(); len(q.header.Values("Authorization")) > 0 {
		t.Errorf("%v", q.header)
	}
	// What was sent can be read.
	var list desk.List[desk.Delivery]
	partner.Call(http.MethodGet, path+"/deliveries", nil, &list)
	if len(list.Items) != 3 {
		t.Fatalf("%+v", list)
	}
	for _, x := range list.Items {
		var d desk.DeliveryDetail
		partner.Call(http.MethodGet, path+"/deliveries/"+x.ID, nil, &d)
		var c claims
		w.Must(json.Unmarshal([]byte(d.Request), &c))
		if !d.Token || c.ID != x.ID+"."+made.Webhook.ID.String() {
			t.Errorf("%+v", d)
		}
	}
}

// poll fetches tokens, checks them and returns them by what they are about.
func poll(w *apptest.World, a *apptest.API, path string, in map[string]any) (got map[string]*claims, more bool) {
	w.Helper()
	var out desk.PollOutput
	if got := a.Call(http.MethodPost, path+"/poll", in, &out); got.Status != http.StatusOK {
		w.Fatalf("%d %s", got.Status, got.Body)
	}
	got = map[string]*claims{}
	for jti, token := range out.Sets {
		c := verify(w, token)
		if c.ID != jti {
			w.Errorf("%s is %+v", jti, c)
		}
		got[c.Subject.URI] = c
	}
	return got, out.More
}

type object = map[string]any

// await polls until there is something.
func await(w *apptest.World, a *apptest.API, path string, in object) (map[string]*claims, bool) {
	w.Helper()
	for range 3 {
		if got, more := poll(w, a, path, in); len(got) > 0 {
			return got, more
		}
		in = object{}
	}
	w.Fatal("nothing came")
	panic("unreachable")
}

// TestTokensThatAreFetched is the poll of RFC 8936.
func TestTokensThatAreFetched(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	made := hook(w, w.Fjord, object{"format": "set-poll"})
	if made.Webhook.Poll != w.Server.URL+"/api/v1/webhooks/"+made.Webhook.ID.String()+"/poll" || made.Webhook.Audience != made.Webhook.Poll || made.Webhook.URL != "" {
		t.Errorf("%+v", made.Webhook)
	}
	path := "/webhooks/" + made.Webhook.ID.String()
	partner := w.PartnerAPI(w.Fjord, "changes:read")
	ana, marta := "/Users/"+w.Fjord.Users[2].ID.String(), "/Users/"+w.Fjord.Users[0].ID.String()
	if got, more := poll(w, partner, path, object{"returnImmediately": true}); len(got) > 0 || more {
		t.Fatalf("%+v", got)
	}
	pushActive(w, w.Nordwind, 2, false)
	pushActive(w, w.Fjord, 2, false)
	first, _ := await(w, partner, path, object{})
	if len(first) != 1 || first[ana] == nil || first[ana].names() != "deactivate patch:notice" {
		t.Fatalf("%+v", first)
	}
	// What is not acknowledged comes again, as it was; of one person nothing that came later comes before it.
	pushActive(w, w.Fjord, 2, true)
	pushActive(w, w.Fjord, 0, false)
	waitPending(w, made.Webhook.ID, 3)
	again, more := poll(w, partner, path, object{"returnImmediately": true})
	if len(again) != 2 || again[marta] == nil || cmp.Diff(again[ana], first[ana]) != "" || !more {
		t.Fatalf("%+v, %v\n%s", again, more, cmp.Diff(again[ana], first[ana]))
	}
	if one, more := poll(w, partner, path, object{"maxEvents": 1}); len(one) != 1 || one[ana] == nil || !more {
		t.Errorf("%+v, %v", one, more)
	}
	// maxEvents 0 acknowledges and answers at once.
	if none, more := poll(w, partner, path, object{"maxEvents": 0, "ack": []string{first[ana].ID, "evt_999999." + made.Webhook.ID.String(), "odd", ""}}); len(none) > 0 || !more {
		t.Errorf("%+v, %v", none, more)
	}
	second, more := poll(w, partner, path, object{"returnImmediately": true, "ack": []string{again[marta].ID}})
	if len(second) != 1 || second[ana] == nil || second[ana].names() != "activate patch:notice" || more {
		t.Fatalf("%+v", second)
	}
	// Refused: a dead letter with its reason, which can be redelivered and is the same token then.
	setErrs := object{second[ana].ID: object{"err": "invalid_audience", "description": "not for\nus", "more": 1}}
	if got, more := poll(w, partner, path, object{"returnImmediately": true, "setErrs": setErrs}); len(got) > 0 || more {
		t.Errorf("%+v", got)
	}
	all := w.PartnerAPI(w.Fjord)
	var dead desk.List[desk.Delivery]
	all.Call(http.MethodGet, path+"/deliveries?state=dead", nil, &dead)
	if len(dead.Items) != 1 || dead.Items[0].Last == nil || dead.Items[0].Last.Error != "the receiver refused the token: invalid_audience: not for us" {
		t.Fatalf("%+v", dead)
	}
	all.Call(http.MethodPost, path+"/redeliver", nil, nil)
	third, _ := poll(w, partner, path, object{"returnImmediately": true})
	if diff := cmp.Diff(second, third); diff != "" {
		t.Error(diff)
	}
	poll(w, partner, path, object{"maxEvents": 0, "ack": []string{third[ana].ID}})
	var done desk.Webhook
	all.Call(http.MethodGet, path, nil, &done)
	if h := done.Health; h.Delivered != 3 || h.Waiting != 0 || h.Dead != 0 || h.LastSuccess == nil || h.FailingSince != nil {
		t.Errorf("%+v", h)
	}
	// A test is fetched too.
	all.Call(http.MethodPost, path+"/test", nil, nil)
	test, _ := poll(w, partner, path, object{"returnImmediately": true})
	if len(test) != 1 || test[""] == nil || test[""].Subject.ID != made.Webhook.ID.String() {
		t.Errorf("%+v", test)
	}
}

// waitPending waits until so many deliveries wait.
func waitPending(w *apptest.World, id directory.ID, n int64) {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		var got int64
		w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) (err error) {
			got, err = sn.DeliveryCount(id, directory.DeliveryPending)
			return err
		}))
		if got == n {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("%d wait, not %d", got, n)
		}
	}
}

// TestWhoMayFetch: who reaches the webhook and may read changes; and only while it is followed.
func TestWhoMayFetch(t *testing.T) {
	t.Parallel()
	r := newTokens(t)
	w := r.world()
	made := hook(w, w.Fjord, object{"format": "set-poll"})
	posting := hook(w, w.Fjord, object{"format": "set-push", "url": r.URL})
	path := "/webhooks/" + made.Webhook.ID.String()
	pushActive(w, w.Fjord, 2, false)
	waitPending(w, made.Webhook.ID, 1)
	fjord := w.PartnerAPI(w.Fjord)
	jti := "evt_" + "1." + made.Webhook.ID.String()
	now := object{"returnImmediately": true}
	for _, c := range []struct {
		name string
		who  *apptest.API
		path string
		in   object
		want int
	}{
		{"nobody", w.API(""), path, now, 401},
		{"another customer", w.PartnerAPI(w.Nordwind), path, now, 404},
		{"another customer who acknowledges", w.PartnerAPI(w.Nordwind), path, object{"maxEvents": 0, "ack": []string{jti}}, 404},
		{"an administrator of an environment", w.AdminAPI(w.Fjord), path, now, 403},
		{"a token that may not read changes", w.PartnerAPI(w.Fjord, "webhooks:read", "webhooks:write"), path, now, 403},
		{"a webhook that posts", fjord, "/webhooks/" + posting.Webhook.ID.String(), now, 409},
		{"no webhook", fjord, "/webhooks/" + w.Fjord.Tenant.ID.String(), now, 404},
		{"fewer than none", fjord, path, object{"maxEvents": -1}, 422},
		{"no list", fjord, path, object{"ack": "x"}, 422},
		{"an error without a code", fjord, path, object{"setErrs": object{jti: object{"description": "x"}}}, 422},
		{"too much at once", fjord, path, object{"ack": slices.Repeat([]string{jti}, 1001)}, 422},
		{"what RFC 8936 does not have", fjord, path, object{"returnImmediately": true, "vendor": true}, 200},
	} {
		if got := c.who.Call(http.MethodPost, c.path+"/poll", c.in, nil); got.Status != c.want {
			t.Errorf("%s: %d\n%s", c.name, got.Status, got.Body)
		}
	}
	if got, _ := poll(w, fjord, path, now); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	fjord.Call(http.MethodPost, path+"/pause", nil, nil)
	if got := fjord.Call(http.MethodPost, path+"/poll", now, nil); got.Status != http.StatusConflict {
		t.Errorf("paused: %d %s", got.Status, got.Body)
	}
}

// TestWhoLosesTheRoleFetchesNothing: neither with a token that outlived the role, nor from a stream that person answers for.
func TestWhoLosesTheRoleFetchesNothing(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	partner := directory.Actor{Role: directory.RolePartner, Channel: "console", ID: w.Fjord.Partner.ID.String(), Reach: &directory.Reach{Organizations: []directory.ID{w.Fjord.Organization.ID}}}
	name, format, reach := "stream", "set-poll", []directory.ID{w.Fjord.Organization.ID}
	made, err := w.App.Desk().CreateWebhook(t.Context(), partner, desk.WebhookInput{Name: &name, Format: &format, Organizations: &reach})
	w.Must(err)
	looked, failed := make(chan bool, 100), make(chan error)
	go func() {
		_, err := w.App.Desk().Poll(t.Context(), func(context.Context) (directory.Actor, error) {
			looked <- true
			return apptest.Operator, nil // who may anything
		}, made.Webhook.ID, &desk.PollInput{}, time.Hour)
		failed <- err
	}()
	<-looked
	_, err = w.Service.SetRoles(t.Context(), apptest.Operator, w.Fjord.Partner.ID, directory.RoleInput{Partner: map[directory.ID]bool{w.Fjord.Organization.ID: false}})
	w.Must(err)
	pushActive(w, w.Fjord, 2, false)
	if err := <-failed; directory.KindOf(err) != directory.Conflict {
		t.Errorf("%v", err)
	}
}

// TestAPollWaits until there is something, or nobody waits any more.
func TestAPollWaits(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	made := hook(w, w.Fjord, object{"format": "set-poll"})
	waits := func(ctx context.Context) (looked chan bool, got chan *desk.PollOutput) {
		looked, got = make(chan bool, 100), make(chan *desk.PollOutput)
		go func() {
			out, err := w.App.Desk().Poll(ctx, func(context.Context) (directory.Actor, error) {
				looked <- true
				return apptest.Operator, nil
			}, made.Webhook.ID, &desk.PollInput{}, time.Hour)
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			got <- out
		}()
		return looked, got
	}
	looked, got := waits(t.Context())
	<-looked
	pushActive(w, w.Fjord, 2, false)
	if out := <-got; out == nil || len(out.Sets) != 1 {
		t.Errorf("%+v", out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	for id := range must(w.App.Desk().Poll(ctx, func(context.Context) (directory.Actor, error) { return apptest.Operator, nil }, made.Webhook.ID, &desk.PollInput{ReturnImmediately: true}, time.Hour)).Sets {
		w.PartnerAPI(w.Fjord).Call(http.MethodPost, "/webhooks/"+made.Webhook.ID.String()+"/poll", object{"maxEvents": 0, "ack": []string{id}}, nil)
	}
	looked, got = waits(ctx)
	<-looked
	cancel()
	<-got // an answer, or that the request is over
}

// TestWhatSettlesNothingWakesNobody: neither tokens that were never told, nor those that are settled already.
func TestWhatSettlesNothingWakesNobody(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	made := hook(w, w.Fjord, object{"format": "set-poll"})
	fjord, path, of := w.PartnerAPI(w.Fjord), "/webhooks/"+made.Webhook.ID.String(), "."+made.Webhook.ID.String()
	fjord.Call(http.MethodPost, path+"/test", nil, nil)
	test, _ := poll(w, fjord, path, object{})
	told := test[""].ID
	wakes := func(in object) bool {
		news := w.Service.Published()
		poll(w, fjord, path, in)
		select {
		case <-news:
			return true
		default:
			return false
		}
	}
	if !wakes(object{"maxEvents": 0, "ack": []string{told}}) {
		t.Error("there is room, and nobody was told")
	}
	const often = 20
	before := w.App.Stats().Updates
	for range often {
		if wakes(object{"maxEvents": 0, "ack": []string{told, "evt_999" + of, "evt_1." + w.Fjord.Tenant.ID.String(), "odd"}, "setErrs": object{told: object{"err": "x"}}}) {
			t.Fatal("everybody was woken for nothing")
		}
	}
	if n := w.App.Stats().Updates - before; n >= often { // others write too
		t.Errorf("%d transactions", n)
	}
}

// TestNoTokenIsForAnUpstream: an application that does not look at the type of what it is given could take a token for an assertion.
func TestNoTokenIsForAnUpstream(t *testing.T) {
	t.Parallel()
	const upstream = "https://127.0.0.1:1/"
	w := apptest.New(t, func(c *app.Config) {
		c.Webhooks.AllowPrivate = []string{"127.0.0.0/8"}
		c.Upstreams = []app.Upstream{{Name: "orders", Audience: upstream}}
	})
	partner := w.PartnerAPI(w.Fjord)
	in := func(format, url, audience string) object {
		return object{"name": "HR", "format": format, "url": url, "audience": audience, "organizations": []directory.ID{w.Fjord.Organization.ID}}
	}
	for name, in := range map[string]object{"fetched": in("set-poll", "", upstream), "posted": in("set-push", upstream+"x", upstream), "by the address": in("set-push", upstream, "")} {
		if got := partner.Call(http.MethodPost, "/webhooks", in, nil); got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, "cannot be that of tokens") {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	var made desk.NewWebhook
	if got := partner.Call(http.MethodPost, "/webhooks", in("json", upstream, ""), &made); got.Status != http.StatusCreated { // JSON is for nobody
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	for _, c := range []struct {
		change object
		want   int
	}{{object{"format": "set-push"}, 422}, {object{"format": "set-push", "audience": upstream + "events"}, 200}, {object{"audience": ""}, 422}} {
		if got := partner.Call(http.MethodPatch, "/webhooks/"+made.Webhook.ID.String(), c.change, nil); got.Status != c.want {
			t.Errorf("%v: %d %s", c.change, got.Status, got.Body)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestTokensOfAnEnvironment: who reaches an environment alone is told of its people, not who they are in their own directory, and of no group.
func TestTokensOfAnEnvironment(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	in := object{"name": "env", "format": "set-poll", "environments": []directory.ID{w.Fjord.Production.ID}}
	var made desk.NewWebhook
	boss := w.OperatorAPI()
	boss.Call(http.MethodPost, "/webhooks", in, &made)
	path := "/webhooks/" + made.Webhook.ID.String()
	scim(w, w.Fjord, http.MethodPatch, "/Groups/"+w.Fjord.Group.ID.String(), `{`+patchSchema+`,"Operations":[{"op":"replace","path":"displayName","value":"Sales team"}]}`)
	scim(w, w.Fjord, http.MethodPost, "/Users", `{`+userSchema+`,"userName":"nobody@fjord.example","externalId":"x"}`) // without an access
	pushActive(w, w.Fjord, 2, false)
	got, _ := await(w, boss, path, object{})
	c := got["/Users/"+w.Fjord.Users[2].ID.String()]
	if len(got) != 1 || c == nil || c.Subject.ExternalID != "" || c.names() != "deactivate patch:notice" {
		t.Errorf("%+v", got)
	}
}

// TestTokensAfterAKeyChanged: the new key signs when its time has come, and is published before.
func TestTokensAfterAKeyChanged(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	made := hook(w, w.Fjord, object{"format": "set-poll"})
	path := "/webhooks/" + made.Webhook.ID.String()
	pushActive(w, w.Fjord, 2, false)
	waitPending(w, made.Webhook.ID, 1)
	partner := w.PartnerAPI(w.Fjord)
	kids := map[string]bool{}
	fetch := func() string {
		var out desk.PollOutput
		partner.Call(http.MethodPost, path+"/poll", object{"returnImmediately": true}, &out)
		for _, token := range out.Sets {
			signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
			w.Must(err)
			kids[signed.Signatures[0].Header.KeyID] = true
			verify(w, token)
			return token
		}
		t.Fatal("nothing came")
		return ""
	}
	before := fetch()
	_, err := w.App.Desk().RotateKeys(t.Context(), apptest.Operator)
	w.Must(err)
	if fetch(); len(kids) != 1 {
		t.Errorf("the new key signs before its time: %v", kids)
	}
	w.Advance(11 * time.Minute)
	if fetch(); len(kids) != 2 {
		t.Errorf("the new key does not sign: %v", kids)
	}
	verify(w, before) // who has it yet to verify still can
}

// TestFormatsChange: what waits in another form and cannot be said with a token is given up, and holds up nothing.
func TestFormatsChange(t *testing.T) {
	t.Parallel()
	w := newTokens(t).world()
	made := hook(w, w.Fjord, object{"url": "https://127.0.0.1:1/"})
	path := "/webhooks/" + made.Webhook.ID.String()
	partner := w.PartnerAPI(w.Fjord)
	if made.Webhook.Format != "json" || made.Webhook.Audience != "" {
		t.Errorf("%+v", made.Webhook)
	}
	ana := w.Fjord.Users[2]
	no := false
	_, _, err := w.Service.SetIntegration(t.Context(), apptest.Operator, w.Fjord.Production.ID, directory.IntegrationInput{Enabled: &no})
	w.Must(err)
	pushActive(w, w.Fjord, 2, false)
	waitPending(w, made.Webhook.ID, 2)
	for _, c := range []struct {
		in   object
		want int
	}{
		{object{"format": "xml"}, 422},
		{object{"format": "set-poll", "url": "https://127.0.0.1:1/"}, 422},
		{object{"format": "set-push", "url": ""}, 422},
		{object{"format": "set-push", "audience": "bizzstream"}, 422},
		{object{"format": "set-push", "events": []string{"access.updated"}}, 422},
		{object{"format": "set-poll"}, 200},
		{object{"format": "json"}, 422}, // no address
		{object{"events": []string{"access.derived"}}, 422},
	} {
		if got := partner.Call(http.MethodPatch, path, c.in, nil); got.Status != c.want {
			t.Errorf("%v: %d %s", c.in, got.Status, got.Body)
		}
	}
	got, more := poll(w, partner, path, object{"returnImmediately": true})
	if c := got["/Users/"+ana.ID.String()]; len(got) != 1 || c == nil || more {
		t.Errorf("%+v", got)
	}
	var dead desk.List[desk.Delivery]
	partner.Call(http.MethodGet, path+"/deliveries?state=dead", nil, &dead)
	if len(dead.Items) != 1 || dead.Items[0].Type != "access.derived" || !strings.Contains(dead.Items[0].Last.Error, "not told of this event") {
		t.Errorf("%+v", dead.Items)
	}
}

// TestTokensOfOneTransaction have txn in common, and of a bulk request each says how its operation changed the resource.
func TestTokensOfOneTransaction(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	made := hook(w, w.Fjord, object{"format": "set-poll"})
	const enterprise = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"`
	scim(w, w.Fjord, http.MethodPost, "/Bulk", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[
		{"method":"POST","path":"/Users","bulkId":"a","data":{"userName":"a@fjord.example",`+enterprise+`:{"manager":{"value":"bulkId:b"}}}},
		{"method":"POST","path":"/Users","bulkId":"b","data":{"userName":"b@fjord.example",`+enterprise+`:{"manager":{"value":"bulkId:a"}}}},
		{"method":"PUT","path":"/Users/`+w.Fjord.Users[0].ID.String()+`","data":{`+userSchema+`,"userName":"marta@fjord.example","title":"x"}}]}`)
	waitPending(w, made.Webhook.ID, 3)
	got, _ := poll(w, w.PartnerAPI(w.Fjord), "/webhooks/"+made.Webhook.ID.String(), object{})
	var joint []string
	for uri, c := range got {
		switch c.names() {
		case "activate create:notice":
			joint = append(joint, c.Txn)
		case "put:notice":
			if uri != "/Users/"+w.Fjord.Users[0].ID.String() || slices.Contains(joint, c.Txn) {
				t.Errorf("%+v", c)
			}
		default:
			t.Errorf("%+v", c)
		}
	}
	if len(joint) != 2 || joint[0] != joint[1] {
		t.Errorf("%+v", got)
	}
}

// TestARefusalIsWrittenDown: what a receiver says of a token is the reason of its delivery.
func TestARefusalIsWrittenDown(t *testing.T) {
	t.Parallel()
	r := newTokens(t)
	w := r.world()
	made := hook(w, w.Fjord, object{"format": "set-push", "url": r.URL})
	path := "/webhooks/" + made.Webhook.ID.String()
	r.answers(func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"err":"invalid_request","description":"no such subject"}`)
	})
	pushActive(w, w.Fjord, 2, false)
	c := r.next(w)
	partner := w.PartnerAPI(w.Fjord)
	waitPending(w, made.Webhook.ID, 0)
	var dead desk.List[desk.Delivery]
	partner.Call(http.MethodGet, path+"/deliveries?state=dead", nil, &dead)
	if len(dead.Items) != 1 || dead.Items[0].Last.Status != 400 || dead.Items[0].Last.Error != "the receiver refused the token: invalid_request: no such subject" {
		t.Fatalf("%+v", dead.Items)
	}
	// Redelivered it is the same token, but for its signature.
	r.answers(nil)
	partner.Call(http.MethodPost, path+"/redeliver", nil, nil)
	if diff := cmp.Diff(c, r.next(w)); diff != "" {
		t.Error(diff)
	}
}

// TestTokensOfAPull: what a pull repairs is told as changes in parts, of the resources that it changed alone.
func TestTokensOfAPull(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	made := hook(w, w.Fjord, object{"format": "set-poll"})
	path := "/webhooks/" + made.Webhook.ID.String()
	ana, ok := directory.ParseID(w.Fjord.Users[2].ExternalID)
	if !ok {
		t.Fatal("Ana has no object id")
	}
	w.Directory.Change(ana, func(p *pull.Person) { p.Enabled = false })
	jonas, _ := directory.ParseID(w.Fjord.Users[1].ExternalID)
	w.Directory.Change(jonas, func(p *pull.Person) { p.DisplayName = "Jonas B" })
	nina := pulltest.NewPerson(777)
	w.Directory.SetPerson(nina)
	w.Directory.Add(w.Fjord.GroupID, nina.ID)
	run, _, err := w.App.Desk().Sync(t.Context(), apptest.Operator, w.Fjord.Production.ID, desk.SyncRequest{})
	w.Must(err)
	ended := w.WaitRun(run.ID)
	if ended.State == directory.RunQuarantined {
		allowed, err := w.App.Desk().AllowRun(t.Context(), apptest.Operator, run.ID, ended.Hash, "it is the first one")
		w.Must(err)
		w.WaitRun(allowed.ID)
	}
	waitPending(w, made.Webhook.ID, 5)
	got, _ := poll(w, w.PartnerAPI(w.Fjord), path, object{})
	names, txn := map[string]int{}, map[string]string{}
	for uri, c := range got {
		names[c.names()]++
		txn[c.names()] = c.Txn
		if (c.names() == "deactivate patch:notice") != (uri == "/Users/"+w.Fjord.Users[2].ID.String()) {
			t.Errorf("%s: %+v", uri, c)
		}
	}
	want := map[string]int{"deactivate patch:notice": 1, "patch:notice": 3, "activate create:notice": 1}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("%s\n%+v", diff, got)
	}
	if c := got["/Users/"+w.Fjord.Users[2].ID.String()]; c == nil || !slices.Equal(c.attributes(t, "patch:notice"), []string{"active", "preferredLanguage"}) {
		t.Errorf("%+v", c)
	}
	c := got["/Groups/"+w.Fjord.Group.ID.String()]
	if c == nil || !slices.Equal(c.attributes(t, "patch:notice"), []string{"members"}) || c.Txn != txn["activate create:notice"] {
		t.Errorf("%+v", got)
	}
	if c := got["/Users/"+w.Fjord.Users[1].ID.String()]; c == nil || !slices.Equal(c.attributes(t, "patch:notice"), []string{"displayName", "name", "preferredLanguage"}) {
		t.Errorf("%+v", c)
	}
}
