package scim

import (
	"fmt"
	"slices"

	"github.com/bizzstream/bizzscim/directory"
)

// Resources makes SCIM resources of what a directory says without a SCIM request. It changes only
// what it is told and leaves everything else of a resource as push wrote it.
type Resources struct{ user, group *ResourceType }

// NewResources returns the Resources of a tenant, with the tenant's own extensions.
func NewResources(t *directory.Tenant) (*Resources, error) {
	extensions, err := extensionsOf(t)
	if err != nil {
		return nil, fmt.Errorf("scim: extension of tenant %s: %w", t.Name, err)
	}
	r := &Resources{}
	r.user, r.group = NewResourceTypes(extensions)
	return r, nil
}

// User returns before with the overrides, or a new user of them when before is nil.
func (r *Resources) User(before *directory.User, o directory.Overrides) (directory.UserInput, error) {
	attrs := Value{Kind: Object}
	if before != nil {
		attrs = decodeRaw(before.Attributes)
	}
	ops := Value{Kind: Array}
	set := func(path string, v Value) {
		ops.Elems = append(ops.Elems, Value{Kind: Object, Members: []Member{
			{"op", text("replace")}, {"path", text(path)}, {"value", v}}})
	}
	for _, f := range []struct{ path, value string }{
		{"userName", o.UserName}, {"externalId", o.ExternalID}, {"displayName", o.DisplayName},
		{"name.givenName", o.GivenName}, {"name.familyName", o.FamilyName}, {"preferredLanguage", o.Language},
	} {
		if f.value != "" {
			set(f.path, text(f.value))
		}
	}
	if o.Email != "" && o.Email != profileOf(attrs).Email {
		set("emails", withEmail(attrs, o.Email))
	}
	if o.Active != nil {
		set("active", Value{Kind: Bool, Bool: *o.Active})
	}
	if len(ops.Elems) == 0 {
		return finishUser(r.user, attrs, before, nil), nil
	}
	patch, err := parsePatch(Value{Kind: Object, Members: []Member{{"Operations", ops}}}, r.user, Mode{}, PatchLimits{})
	if err != nil {
		return directory.UserInput{}, err
	}
	next, warnings, err := patch.apply(attrs)
	if err != nil {
		return directory.UserInput{}, err
	}
	return finishUser(r.user, next, before, warnings), nil
}

// withEmail returns the e-mail addresses with another one in the place that profileOf reads a user's
// Email from: the primary one, or that of work, which is added where there is none.
func withEmail(attrs Value, address string) Value {
	emails, _ := attrs.Get("emails")
	list := slices.Clone(emails.Elems)
	has := func(e Value) bool { v, _ := e.Get("value"); return v.Text != "" }
	isWork := func(e Value) bool { t, _ := e.Get("type"); return equalFold(t.Text, "work") }
	at := -1
	for _, fits := range []func(Value) bool{
		func(e Value) bool { return isPrimary(e) && has(e) },
		func(e Value) bool { return isWork(e) && has(e) },
		isPrimary, isWork,
	} {
		if at = slices.IndexFunc(list, fits); at >= 0 {
			break
		}
	}
	if at < 0 {
		at = len(list)
		list = append(list, Value{Kind: Object, Members: []Member{{"type", text("work")}}})
	}
	e := dropMember(list[at], "value")
	list[at] = Value{Kind: Object, Members: slices.Insert(slices.Clone(e.Members), 0, Member{"value", text(address)})}
	return Value{Kind: Array, Elems: list}
}

// Group returns a new group. One whose name cannot be kept goes by its object id, the externalId.
func (r *Resources) Group(displayName, externalID string) directory.GroupInput {
	for _, name := range []string{displayName, externalID} {
		body := Value{Kind: Object, Members: []Member{{"displayName", text(name)}, {"externalId", text(externalID)}}}
		attrs, warnings, err := r.group.normalize(body, Mode{})
		if err == nil && r.group.checkNames(Value{}, attrs) == nil {
			return finishGroup(r.group, attrs, nil, warnings)
		}
	}
	return directory.GroupInput{DisplayName: displayName, ExternalID: externalID}
}
