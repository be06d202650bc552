package scim

import (
	"fmt"

	"github.com/bizzstream/bizzscim/directory"
)

// Resources makes SCIM resources of what a directory says without a SCIM request. It changes only
// what it is told and leaves everything else of a resource as push wrote it.
type Resources struct{ user, group *ResourceType }

// NewResources returns the Resources of a tenant, with the tenant's own extensions.
func NewResources(t *directory.Tenant) (*Resources, error) {
	var extensions []*Schema
	for _, doc := range t.SCIM.Extensions {
		s, err := ParseSchema(doc)
		if err != nil {
			return nil, fmt.Errorf("scim: extension of tenant %s: %w", t.Name, err)
		}
		extensions = append(extensions, s)
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
			{"op", jsonText("replace")}, {"path", jsonText(path)}, {"value", v}}})
	}
	for _, f := range []struct{ path, value string }{
		{"userName", o.UserName}, {"externalId", o.ExternalID}, {"displayName", o.DisplayName},
		{"name.givenName", o.GivenName}, {"name.familyName", o.FamilyName},
		{emailPath(attrs), o.Email}, {"preferredLanguage", o.Language},
	} {
		if f.value != "" {
			set(f.path, jsonText(f.value))
		}
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

// emailPath is the path of the address that profileOf takes for a user's e-mail.
func emailPath(attrs Value) string {
	emails, _ := attrs.Get("emails")
	for _, e := range emails.Elems {
		if isPrimary(e) {
			return `emails[primary eq true].value`
		}
	}
	return `emails[type eq "work"].value`
}

func jsonText(s string) Value { return Value{Kind: String, Text: s} }

// Group returns a new group.
func (r *Resources) Group(displayName, externalID string) directory.GroupInput {
	attrs := Value{Kind: Object, Members: []Member{{"displayName", jsonText(displayName)}, {"externalId", jsonText(externalID)}}}
	in := finishGroup(r.group, attrs, nil, nil)
	in.ExternalID = externalID
	return in
}
