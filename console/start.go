package console

import (
	"net/http"

	"github.com/bizzstream/bizzscim/desk"
)

// startCookie hides the first steps.
const startCookie = "__Host-start"

// startStep is one of the first steps.
type startStep struct {
	Key  string
	Path string // where it is done
	Done bool
	Next bool // the first that is not done
}

// start lists the first steps of a new server, for an operator who has not hidden them; none when all are done.
//
// texts: start.factor.title start.factor.text start.factor.go start.environment.title start.environment.text start.environment.go
// texts: start.directory.title start.directory.text start.directory.go start.people.title start.people.text start.people.go
func (c *Console) start(v *visit) (all []startStep, err error) {
	if !v.principal.Roles.Operator {
		return nil, nil
	}
	if hidden, err := v.r.Cookie(startCookie); err == nil && hidden.Value == "hidden" {
		return nil, nil
	}
	s, err := c.config.Desk.Start(v.r.Context(), c.by(v))
	if err != nil || s.Done() {
		return nil, err
	}
	return startSteps(s), nil
}

func startSteps(s desk.Start) []startStep {
	all := []startStep{
		{Key: "factor", Path: "/account/second-factor", Done: s.SecondFactor},
		{Key: "environment", Path: "/environments", Done: s.Environment},
		{Key: "directory", Path: "/tenants", Done: s.Directory},
		{Key: "people", Path: "/environments", Done: s.People},
	}
	for i := range all {
		if !all[i].Done {
			all[i].Next = true
			break
		}
	}
	return all
}

// startPost hides the first steps, or shows them again.
func (c *Console) startPost(v *visit) error {
	days := 365
	if v.r.PostForm.Get("show") == "1" {
		days = -1
	}
	http.SetCookie(v.w, remember(startCookie, "hidden", days))
	v.redirect("/", nil)
	return nil
}

type searchData struct {
	Query string
	Wrong any
	Kinds []searchKind
	Total int64
}

type searchKind struct {
	Kind string
	Hits []searchHit
	Full bool // there may be more
}

type searchHit struct {
	desk.Hit
	Path string
}

// search finds environments, tenants, users and groups by what their names begin with.
//
// texts: search.kind.environment search.kind.tenant search.kind.user search.kind.group
func (c *Console) search(v *visit) error {
	data := searchData{Query: v.r.URL.Query().Get("q")}
	if data.Query == "" {
		c.render(v, http.StatusOK, "search", "search.title", data)
		return nil
	}
	found, err := c.config.Desk.Search(v.r.Context(), c.by(v), data.Query)
	status := http.StatusOK
	if err != nil {
		w, code, ok := refused(err, nil)
		if !ok {
			return err
		}
		data.Wrong, status = w["q"], code
	}
	data.Total = found.Total
	for _, hit := range found.Items {
		if len(data.Kinds) == 0 || data.Kinds[len(data.Kinds)-1].Kind != hit.Kind {
			data.Kinds = append(data.Kinds, searchKind{Kind: hit.Kind})
		}
		last := &data.Kinds[len(data.Kinds)-1]
		last.Hits = append(last.Hits, searchHit{hit, hitPath(hit)})
		last.Full = len(last.Hits) >= desk.MostHits
	}
	c.render(v, status, "search", "search.title", data)
	return nil
}

// hitPath is the page of what was found.
func hitPath(hit desk.Hit) string {
	if hit.Kind == "group" {
		return "/groups/" + hit.Tenant.String() + "/" + hit.ID.String()
	}
	return map[string]string{"environment": "/environments/", "tenant": "/tenants/", "user": "/users/"}[hit.Kind] + hit.ID.String()
}
