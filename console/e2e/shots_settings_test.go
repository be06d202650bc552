package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

var settingsShots = []shot{
	{name: "home", who: boss, path: at("/")},
	{name: "home-admin", who: admin, path: at("/")},
	{name: "settings", who: boss, path: at("/settings")},
	{name: "settings-configuration", who: boss, path: at("/settings/configuration")},
	{name: "settings-keys", who: boss, path: at("/settings/keys")},
	{name: "settings-people", who: boss, path: at("/settings/people")},
	{name: "settings-person", who: boss, path: func(w *apptest.World) string { return "/settings/people/" + w.Boss.ID.String() }},
	{name: "settings-person-factor", who: boss, path: func(w *apptest.World) string { return "/settings/people/" + w.Boss.ID.String() }, open: ".acts summary"},
	{name: "search", who: boss, path: at("/search?q=ma")},
	{name: "search-none", who: admin, path: at("/search?q=zebra")},
	{name: "missing", who: admin, path: at("/nothing/here")},
	{name: "forbidden", who: admin, path: at("/settings")},
}

// pushesBefore is how long furnishSettings pushes.
const pushesBefore = 25 * time.Minute

// noPassword is the hash of what nobody knows: it can be checked, and nothing is right.
const noPassword = "$argon2id$v=19$m=65536,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// furnishSettings gives people roles, makes credentials end and directories push.
func furnishSettings(w *apptest.World) {
	w.Must(w.Service.SetPassword(w.Context(), apptest.Operator, w.Boss.ID, noPassword))
	nina, err := w.Service.CreateOperator(w.Context(), apptest.Operator, "nina.roos@maxedy.example", "Nina Roos")
	w.Must(err)
	w.Must(w.Service.SetPassword(w.Context(), apptest.Operator, nina.ID, noPassword))
	lars, err := w.Service.CreateAccount(w.Context(), apptest.Operator, "lars@integrator.example", "lars@integrator.example", "Lars Holm")
	w.Must(err)
	_, err = w.Service.SetRoles(w.Context(), apptest.Operator, lars.ID, directory.RoleInput{Partner: map[directory.ID]bool{w.Fjord.Organization.ID: true, w.Nordwind.Organization.ID: true}})
	w.Must(err)
	w.Must(w.Service.SetPassword(w.Context(), apptest.Operator, lars.ID, noPassword))
	w.Must(w.Service.SetTOTP(w.Context(), directory.Actor{Role: directory.RolePartner, Channel: "test", ID: lars.ID.String()}, lars.ID, "sealed", 1))
	invited, err := w.Service.CreateOperator(w.Context(), apptest.Operator, "tariq@maxedy.example", "Tariq Demir")
	w.Must(err)
	_, err = w.Service.CreateLink(w.Context(), apptest.Operator, directory.LinkPassword, invited.ID, auth.Hash("bzl_shot"), 20*time.Hour)
	w.Must(err)
	w.SignIn(nina)
	w.SignIn(w.Nordwind.Partner)
	_, err = w.Service.SetCredential(w.Context(), apptest.Operator, directory.Credential{TenantID: w.Nordwind.Tenant.ID, Name: directory.SignInCredential, Kind: "secret", Sealed: "sealed", Hint: "k3Qx", Expires: w.Now().Add(12 * 24 * time.Hour)})
	w.Must(err)
	for minute := range int(pushesBefore / time.Minute) {
		for i := range minute * 7 % 5 * (minute % 3) {
			push(w, w.Fjord, minute, i)
		}
		w.Advance(time.Minute)
	}
	for range 2 {
		if a := w.SignIn(w.Boss).Post("/settings/keys"); a.Status != http.StatusSeeOther {
			w.Fatalf("no key: %d\n%s", a.Status, a.Body)
		}
	}
}

// push brings one more person.
func push(w *apptest.World, c *apptest.Customer, minute, i int) {
	given := []string{"Mats", "Ingrid", "Sanne", "Pieter", "Aylin", "Bram", "Noor", "Luuk"}[(minute+i)%8]
	family := []string{"Bakker", "Visser", "Haugen", "Smit", "Solberg", "Jansen", "Lie"}[(minute*3+i)%7]
	name := strings.ToLower(fmt.Sprintf("%s.%s%02d%d@fjord.example", given, family, minute, i))
	_, err := w.Service.CreateUser(w.Context(), directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: c.Tenant.ID.String()}, c.Tenant.ID, directory.UserInput{
		Profile: directory.Profile{UserName: name, Name: given + " " + family, Email: name, Emails: []string{name}, Active: true},
		Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: []byte(`{"userName":"` + name + `","active":true}`)})
	w.Must(err)
}
