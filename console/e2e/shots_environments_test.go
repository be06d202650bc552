package e2e_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

var environmentShots = []shot{
	{name: "environments", who: boss, path: at("/environments")},
	{name: "environments-filtered", who: boss, path: at("/environments?q=zeeland")},
	{name: "environments-admin", who: admin, path: at("/environments")},
	{name: "environment", who: boss, path: environmentPage("Havenbedrijf Zeeland", "Production", "")},
	{name: "environment-off", who: boss, path: environmentPage("Fjord Logistics", "Finance", "")},
	{name: "environment-new", who: boss, path: at("/environments/new")},
	{name: "organization-new", who: boss, path: at("/organizations/new")},
	{name: "environment-integration", who: boss, path: environmentPage("Havenbedrijf Zeeland", "Production", "/integration")},
	{name: "environment-integration-admin", who: admin, path: environmentPage("Fjord Logistics", "Production", "/integration"), open: "form.integration summary"},
	{name: "environment-integration-partner", who: func(w *apptest.World) *directory.Account { return w.Fjord.Partner }, path: environmentPage("Fjord Logistics", "Production", "/integration")},
	{name: "environment-integration-ask", who: boss, path: environmentPage("Havenbedrijf Zeeland", "Production", "/integration"), open: "#enabled ; button[value=save]"},
	{name: "environment-integration-found", who: boss, path: environmentPage("Havenbedrijf Zeeland", "Production", "/integration"), open: "#group-name := term ; button[value=find]"},
	{name: "environment-administrators", who: boss, path: environmentPage("Fjord Logistics", "Production", "/administrators"), open: "details.confirm summary"},
}

// environmentPage is a page of the environment of that organization and name.
func environmentPage(organization, name, tail string) func(*apptest.World) string {
	return func(w *apptest.World) (path string) {
		w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
			org, err := sn.OrganizationByName(organization)
			if err != nil {
				return err
			}
			all, err := sn.Environments(org.ID)
			for _, e := range all {
				if e.Name == name {
					path = "/environments/" + e.ID.String() + tail
				}
			}
			return err
		}))
		return path
	}
}

// furnishEnvironments adds two customers whose environments are in every state.
func furnishEnvironments(w *apptest.World) {
	ctx := w.Context()
	const month = 30 * 24 * time.Hour
	org, err := w.Service.CreateOrganization(ctx, apptest.Operator, "Havenbedrijf Zeeland")
	w.Must(err)
	tenant, err := w.Service.CreateTenant(ctx, apptest.Operator, directory.Tenant{Name: "zeeland", OrganizationIDs: []directory.ID{org.ID},
		DirectoryID: pulltest.ID(7900).String(), Graph: directory.Graph{ClientID: pulltest.ID(7901).String()}})
	w.Must(err)
	_, err = w.Service.SetCredential(ctx, apptest.Operator, directory.Credential{TenantID: tenant.ID, Name: directory.GraphCredential, Kind: "federated", TokenFile: "/dev/null", Expires: w.Now().Add(month + 6*24*time.Hour)})
	w.Must(err)
	secret := auth.NewSecret()
	token, err := w.Service.CreateToken(ctx, apptest.Operator, tenant.ID, directory.NewToken{Name: "Entra", Hash: auth.Hash(secret.Text), Hint: secret.Hint})
	w.Must(err)
	names := []string{"Production", "Acceptance", "Finance", "Planning", "Training", "Archive"}
	envs := map[string]*directory.Environment{}
	groups := []string{pulltest.GroupID(71), pulltest.GroupID(72)}
	for _, name := range names {
		envs[name], err = w.Service.CreateEnvironment(ctx, apptest.Operator, org.ID, name)
		w.Must(err)
	}
	on := true
	for _, name := range names[:5] {
		in := directory.IntegrationInput{Enabled: &on, TenantID: &tenant.ID, Groups: groups[:1], DefaultMenus: []string{"Orders", "Port calls"}, Periodic: &on}
		switch name {
		case "Production":
			in.Groups = append(groups, pulltest.GroupID(73))
		case "Training":
			in.Paused = &on
		}
		_, _, err = w.Service.SetIntegration(ctx, apptest.Operator, envs[name].ID, in)
		w.Must(err)
	}
	furnishPeople(w, tenant.ID, groups)
	w.Must(w.Service.TouchToken(ctx, tenant.ID, token.ID, "20.190.160.14"))
	_, err = w.Service.CreateEnvironment(ctx, apptest.Operator, w.Nordwind.Organization.ID, "Acceptance")
	w.Must(err)
	now := w.Now().Add(furnishedLater)
	furnishRun(w, envs["Production"], tenant.ID, directory.RunComplete, now, 4*time.Minute, 3, nil)
	furnishRun(w, envs["Acceptance"], tenant.ID, directory.RunQuarantined, now, 9*time.Minute, 0, nil)
	furnishRun(w, envs["Finance"], tenant.ID, directory.RunFailed, now, 6*time.Minute, 0, &directory.RunError{Class: "permission",
		Detail: "the application may not read the members of group " + groups[0] + "; grant it the application permission GroupMember.Read.All"})
	furnishRun(w, envs["Planning"], tenant.ID, directory.RunComplete, now, 5*time.Hour, 1, nil)
	furnishRun(w, envs["Training"], tenant.ID, directory.RunComplete, now, 26*time.Hour, 0, nil)
	furnishRun(w, w.Fjord.Production, w.Fjord.Tenant.ID, directory.RunComplete, now, 11*time.Minute, 2, nil)
}

// furnishPeople pushes people day by day through a month, as Entra does.
func furnishPeople(w *apptest.World, tenant directory.ID, groups []string) {
	ctx := w.Context()
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: tenant.String()}
	var made []*directory.Group
	for i, name := range []string{"Harbour masters", "Terminal planning"} {
		g, err := w.Service.CreateGroup(ctx, push, tenant, directory.GroupInput{DisplayName: name, ExternalID: groups[i],
			Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`), Attributes: []byte(`{"displayName":"` + name + `","externalId":"` + groups[i] + `"}`)}, nil)
		w.Must(err)
		made = append(made, g)
		w.Directory.SetGroup(groups[i], name)
	}
	w.Directory.SetGroup(pulltest.GroupID(74), "Terminal operators")
	w.Directory.SetGroup(pulltest.GroupID(75), "Terminal visitors")
	given := []string{"Sanne", "Daan", "Emma", "Luuk", "Noor", "Bram", "Femke", "Joris", "Lotte", "Sven", "Anouk", "Pim"}
	family := []string{"de Vries", "Jansen", "van den Berg", "Bakker", "Visser", "Smit", "Meijer", "de Boer", "Mulder", "Hendriks"}
	n := 0
	for day := 30; day >= 0; day-- {
		for range []int{5, 3, 0, 2, 0, 0, 4}[day%7] {
			first, last := given[n%len(given)], family[n/2%len(family)]
			user := fmt.Sprintf("%s.%s%d@zeeland.example", strings.ToLower(first), strings.ToLower(strings.ReplaceAll(last, " ", "")), n)
			id := pulltest.ID(7000 + n)
			u, err := w.Service.CreateUser(ctx, push, tenant, directory.UserInput{Profile: directory.Profile{UserName: user, ExternalID: id.String(), Name: first + " " + last, Email: user, Emails: []string{user}, Active: true},
				Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: []byte(`{"userName":"` + user + `","externalId":"` + id.String() + `","displayName":"` + first + ` ` + last + `","active":true}`)})
			w.Must(err)
			g := made[n%2]
			_, err = w.Service.UpdateGroup(ctx, push, tenant, g.ID, func(now *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
				return directory.GroupInput{DisplayName: now.DisplayName, ExternalID: now.ExternalID, Schemas: now.Schemas, Attributes: now.Attributes}, m.Add([]directory.ID{u.ID})
			})
			w.Must(err)
			n++
		}
		if day > 0 {
			w.Advance(24 * time.Hour)
		}
	}
}

// furnishedLater is how far the clock goes after runs were furnished: they are of its end.
const furnishedLater = runsMade + pushesBefore + pushesLogged

// furnishRun keeps some runs of an environment, of which the last ended so long ago.
func furnishRun(w *apptest.World, env *directory.Environment, tenant directory.ID, last directory.RunState, now time.Time, ago time.Duration, applied int, failure *directory.RunError) {
	ctx := w.Context()
	for i := 14; i >= 0; i-- {
		run := &directory.Run{EnvironmentID: env.ID, TenantID: tenant, Trigger: directory.TriggerSchedule, Actor: directory.Actor{Role: directory.RoleSystem, Channel: "pull"}, State: directory.RunComplete,
			Started: now.Add(-ago - time.Duration(i)*15*time.Minute - time.Duration(3+i*7%11)*time.Second), Counts: directory.Counts{People: 40, Applied: i % 4}}
		run.ID = furnishID(run.Started.AddDate(0, 0, -31), env.ID) // before those of furnishRuns, whose ids are of the real clock
		run.Ended = now.Add(-ago - time.Duration(i)*15*time.Minute)
		if i == 0 {
			run.State, run.Error, run.Counts.Applied = last, failure, applied
		}
		w.Must(w.Service.SaveRun(ctx, run, func(s *directory.PullState) {
			s.LastRun, s.Next = run.ID, run.Ended.Add(15*time.Minute)
			switch run.State {
			case directory.RunFailed:
				s.Failures++
			case directory.RunQuarantined:
				s.Quarantined = run.ID
			default:
				s.LastSuccess = run.Ended
			}
		}))
	}
}

// furnishID is an id of a time, different for each environment.
func furnishID(at time.Time, env directory.ID) (id directory.ID) {
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	copy(id[6:], env[6:])
	return id
}
