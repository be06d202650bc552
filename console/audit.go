package console

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/desk"
)

type auditData struct {
	Form     *filterForm
	Filtered bool
	Entries  []*auditRow
	Pager    pager
	Further  string
	CSV      string
	JSON     string
	Check    *desk.AuditCheck // what verifying has found; nil: it was not asked for
	Max      int
	Known    []auditWord // actions that can be selected: all of a kind, then each by itself
}

type auditRow struct {
	desk.AuditEntry
	Text string // Detail for people
}

var auditFields = []string{"actor", "action", "target", "from", "to"}

// auditWord is an action as the audit has it, and in words.
type auditWord struct{ Action, Words string }

// auditWords are the actions that have words, in the order of their names.
func auditWords(lang string) (all []auditWord) {
	for key, text := range texts[lang] {
		if action, is := strings.CutPrefix(key, auditAction); is {
			all = append(all, auditWord{action, text})
		}
	}
	for _, w := range all {
		kind, _, _ := strings.Cut(w.Action, ".")
		all = append(all, auditWord{Action: kind})
	}
	slices.SortFunc(all, func(a, b auditWord) int { return strings.Compare(a.Action, b.Action) })
	return slices.Compact(all)
}

// auditAction is what the keys of actions in words begin with.
const auditAction = "audit.action."

// texts: audit.role.directory audit.role.environment-administrator audit.role.operator audit.role.partner audit.role.system audit.role.user
// texts: audit.channel.api audit.channel.cli audit.channel.console audit.channel.http audit.channel.pull audit.channel.scim audit.channel.sign-in
// texts: audit.channel.system audit.channel.webhook

// Words is the action in words; empty for one of which there are none.
func (r *auditRow) Words(lang string) string { return texts[lang][auditAction+r.Action] }

// By is in which role and on which way somebody acted, in words as far as there are some.
func (r *auditRow) By(lang string) string {
	role, channel := r.Actor.Role, r.Actor.Channel
	role = cmp.Or(texts[lang]["audit.role."+strings.ReplaceAll(role, " ", "-")], role)
	channel = cmp.Or(texts[lang]["audit.channel."+channel], channel)
	return strings.Join(slices.DeleteFunc([]string{role, channel, r.Actor.Address}, func(s string) bool { return s == "" }), " · ")
}

func (c *Console) audit(v *visit) error { return c.showAudit(v, nil) }

// auditVerify walks the audit. The answer is the page with what was found: nothing was changed that a redirect would
// have to keep from being done twice.
func (c *Console) auditVerify(v *visit) error {
	check, err := c.config.Desk.VerifyAudit(v.r.Context(), c.by(v))
	if err != nil {
		return err
	}
	return c.showAudit(v, &check)
}

func (c *Console) showAudit(v *visit, check *desk.AuditCheck) error {
	form := newFilterForm(v)
	wrong, err := say(v.lang, "filter.time")
	if err != nil {
		return err
	}
	filter := form.auditFilter(wrong)
	data := auditData{Form: form, Filtered: form.set(auditFields...), Check: check, Max: maxExport, Known: auditWords(v.lang),
		CSV: form.address("/audit/export", "format", "csv"), JSON: form.address("/audit/export", "format", "json")}
	// Also when the form is wrong: who may not see the audit is told that, and nothing of the form.
	list, err := c.config.Desk.Audit(v.r.Context(), c.by(v), filter, desk.Page{After: form.Get("after")})
	status := http.StatusOK
	if w, s, ok := refused(err, nil); ok {
		status = s
		form.refuse(w)
	} else if err != nil {
		return err
	}
	if len(form.Wrong) > 0 {
		list, status = desk.List[desk.AuditEntry]{}, http.StatusUnprocessableEntity
	}
	for _, e := range list.Items {
		data.Entries = append(data.Entries, &auditRow{e, pretty(e.Detail)})
	}
	if len(list.Items) < desk.DefaultLimit && list.Next != "" {
		data.Further, list.Next = form.address("/audit", "after", list.Next), ""
	}
	data.Pager = v.pagerOf(len(list.Items), -1, list.Next)
	c.render(v, status, "audit", "audit.title", data)
	return nil
}

func (f *filterForm) auditFilter(wrong string) desk.AuditFilter {
	return desk.AuditFilter{Actor: f.Get("actor"), Action: f.Get("action"), Target: f.Get("target"), From: f.time("from", wrong, false), To: f.time("to", wrong, true)}
}

func (c *Console) auditExport(v *visit) error {
	form := newFilterForm(v)
	filter := form.auditFilter("")
	if len(form.Wrong) > 0 {
		return missing
	}
	return export(c, v, "audit", auditColumns, auditCells, func(after string) (desk.List[desk.AuditEntry], error) {
		return c.config.Desk.Audit(v.r.Context(), c.by(v), filter, desk.Page{After: after, Limit: desk.MaxLimit})
	})
}

var auditColumns = []string{"Number", "Date", "Actor", "Actor name", "Role", "Channel", "Address", "Action", "Target", "Target name", "Detail", "Request ID", "Hash"}

func auditCells(e *desk.AuditEntry) []string {
	return []string{strconv.FormatUint(e.Sequence, 10), e.Time.UTC().Format(time.RFC3339Nano), e.Actor.ID, e.Actor.Name, e.Actor.Role, e.Actor.Channel, e.Actor.Address,
		e.Action, e.Target, e.Name, string(e.Detail), e.RequestID, e.Hash}
}
