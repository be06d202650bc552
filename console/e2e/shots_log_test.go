package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

var logShots = []shot{
	{name: "log", who: boss, path: at("/log")},
	{name: "log-live", who: admin, path: at("/log?live=on")},
	{name: "log-none", who: boss, path: at("/log?identity=nobody&status=failure")},
	{name: "log-failure", who: boss, path: logLineOf(func(e *directory.LogEvent) bool { return e.Answer == http.StatusConflict })},
	{name: "log-disable", who: boss, path: logLineOf(func(e *directory.LogEvent) bool { return e.Action == directory.ActionDisable && e.Sessions > 0 })},
	{name: "audit", who: boss, path: at("/audit"), open: "tbody details summary"},
	{name: "audit-verified", who: boss, path: at("/audit?action=tenant"), open: "form[method=post][action='/audit'] button"},
	{name: "report", who: boss, path: at("/report")},
	{name: "report-wrong", who: boss, path: at("/report?from=yesterday")},
}

// logLineOf is the page of the newest line of Fjord's log that is like that.
func logLineOf(is func(*directory.LogEvent) bool) func(*apptest.World) string {
	return func(w *apptest.World) (path string) {
		for path == "" { // a failure is logged after its answer
			path = newestLine(w, is)
		}
		return path
	}
}

func newestLine(w *apptest.World, is func(*directory.LogEvent) bool) (path string) {
	w.Must(w.Context().Err())
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		return sn.Log(w.Fjord.Tenant.ID, 0, true, func(e *directory.LogEvent) bool {
			if is(e) {
				path = fmt.Sprintf("/log/%s/%d", e.TenantID, e.Sequence)
			}
			return path == ""
		})
	}))
	return path
}

// pushesLogged is how long furnishLog pushes.
const pushesLogged = 30 * time.Minute

// furnishLog pushes what a directory pushes in half an hour: people who join, move and leave, and what goes wrong.
func furnishLog(w *apptest.World) {
	left := pushesLogged
	push := func(method, path string, body map[string]any) map[string]any {
		text, err := json.Marshal(body)
		w.Must(err)
		a := w.SignIn(nil).Do(method, "/scim/fjord/v2"+path, strings.NewReader(string(text)), "Authorization", "Bearer "+w.Fjord.Token, "Content-Type", "application/scim+json")
		var out map[string]any
		if a.Body != "" {
			w.Must(json.Unmarshal([]byte(a.Body), &out))
		}
		return out
	}
	patch := func(path string, op, attribute string, value any) {
		o := map[string]any{"op": op, "path": attribute, "value": value}
		push(http.MethodPatch, path, map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": []any{o}})
		w.Advance(2 * time.Minute)
		left -= 2 * time.Minute
	}
	var ids []string
	for i, name := range []string{"Sanne de Vries", "Tomasz Nowak", "Élise Laurent", "Mehmet Yılmaz", "Ingrid Solberg", "Daan Bakker"} {
		mail := strings.ToLower(strings.NewReplacer(" ", ".", "É", "e", "ı", "i").Replace(name)) + "@fjord.example"
		out := push(http.MethodPost, "/Users", map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": mail, "displayName": name, "active": true,
			"externalId": fmt.Sprintf("6f1c2a40-8e0b-4a43-9d5e-0000000007%02d", i), "emails": []any{map[string]any{"value": mail, "type": "work", "primary": true}}, "photoUrl": "ignored"})
		ids = append(ids, fmt.Sprint(out["id"]))
		patch("/Groups/"+w.Fjord.Group.ID.String(), "add", "members", []any{map[string]any{"value": out["id"]}})
	}
	for _, id := range ids[:3] {
		signIn(w, id)
	}
	patch("/Users/"+ids[0], "replace", "displayName", "Sanne de Vries-Jansen")
	patch("/Users/"+ids[0], "replace", "userName", "marta@fjord.example") // taken
	patch("/Users/"+ids[1], "replace", "active", false)
	patch("/Groups/"+w.Fjord.Group.ID.String(), "remove", "members", []any{map[string]any{"value": ids[2]}})
	patch("/Groups/"+w.Fjord.Group.ID.String(), "add", "members", []any{map[string]any{"value": "2819c223-7f76-453a-919d-413861904646"}}) // unknown
	push(http.MethodDelete, "/Users/"+ids[5], nil)
	patch("/Users/"+ids[1], "replace", "active", true)
	w.Advance(left)
}

// signIn gives the account of a SCIM user of Fjord a session.
func signIn(w *apptest.World, user string) {
	id, _ := directory.ParseID(user)
	var account *directory.Account
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		u, err := sn.User(w.Fjord.Tenant.ID, id)
		if err == nil {
			account, err = sn.Account(u.AccountID)
		}
		return err
	}))
	w.SignIn(account)
}
