package scim

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
)

// begin names who writes and what the write is about, for the log line, also that of a failure.
func (q *request) begin(action directory.Action, targetType string) {
	q.by = directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: q.token.String(), RequestID: q.RequestID(q.r), Address: q.from}
	q.event.Action, q.event.TargetType, q.event.TargetID = action, targetType, clip(q.name)
}

// write reads what a write asks for: its body, and which attributes the answer shall hold. All of
// a request is understood before anything of it is carried out.
func (q *request) write(rt *ResourceType) (Value, *Projection, error) {
	p, err := q.projection(rt)
	if err != nil {
		return Value{}, nil, err
	}
	body, err := q.body()
	return body, p, err
}

func (q *request) createUser() error {
	q.begin(directory.ActionCreate, "User")
	body, p, err := q.write(q.tenant.user)
	if err != nil {
		return err
	}
	in, err := q.userInput(read(body, q.tenant.user, q.tenant.mode, "userName"), nil)
	if err != nil {
		return err
	}
	u, err := q.Service.CreateUser(q.r.Context(), q.by, q.tenant.ID, in)
	if err != nil {
		return err
	}
	return q.sendUser(http.StatusCreated, u, p)
}

// reading is the body of a POST or PUT as it was understood. A PUT does this before its
// transaction, where it holds up nobody, and reports err within it: that the resource is missing
// or has another version comes first.
type reading struct {
	name     string // of the resource, for the log
	named    bool   // the body gives one
	attrs    Value
	warnings []Warning
	err      error
}

func read(body Value, rt *ResourceType, mode Mode, nameAttribute string) (r reading) {
	if name, ok := body.Get(nameAttribute); ok && name.Kind == String {
		r.name, r.named = clip(name.Text), true
	}
	r.attrs, r.warnings, r.err = rt.normalize(body, mode)
	return r
}

// replaces checks what was read against the attributes that it replaces, nil for a new resource.
func (q *request) replaces(r reading, rt *ResourceType, before []byte) error {
	if r.named {
		q.event.TargetName = r.name
	}
	if r.err != nil || before == nil {
		return r.err
	}
	return rt.checkImmutable(decodeRaw(before), r.attrs)
}

// userInput makes a user of the body of a POST or PUT. before is the user that a PUT replaces.
func (q *request) userInput(r reading, before *directory.User) (directory.UserInput, error) {
	var old []byte
	if before != nil {
		old = before.Attributes
	}
	if err := q.replaces(r, q.tenant.user, old); err != nil {
		return directory.UserInput{}, err
	}
	in := finishUser(q.tenant.user, r.attrs, before, r.warnings)
	_, in.SaysActive = r.attrs.Get("active")
	return in, nil
}

// finishUser turns canonical attributes into what the directory keeps. A user is active unless
// the client says otherwise; a client that does not say it of a user that exists changes nothing,
// so that nobody who was disabled comes back by an omission.
func finishUser(rt *ResourceType, attrs Value, before *directory.User, warnings []Warning) directory.UserInput {
	if _, said := attrs.Get("active"); !said {
		active := before == nil || before.Active
		attrs = setMember(rt.Core.Attributes, attrs, "active", Value{Kind: Bool, Bool: active})
	}
	in := directory.UserInput{Profile: profileOf(attrs), Attributes: appendValue(nil, attrs),
		Schemas: appendTextList(nil, rt.schemasOf(attrs)), Warnings: warningTexts(warnings)}
	var old []byte
	if before != nil {
		old = before.Attributes
	}
	in.Changes = differences(old, in.Attributes)
	return in
}

func (q *request) putUser() error {
	q.begin(directory.ActionUpdate, "User")
	body, p, err := q.write(q.tenant.user)
	if err != nil {
		return err
	}
	r := read(body, q.tenant.user, q.tenant.mode, "userName")
	u, err := q.updateUser(func(before *directory.User) (directory.UserInput, error) {
		return q.userInput(r, before)
	})
	if err != nil {
		return err
	}
	return q.sendUser(http.StatusOK, u, p)
}

func (q *request) patchUser() error {
	q.begin(directory.ActionUpdate, "User")
	body, p, err := q.write(q.tenant.user)
	if err != nil {
		return err
	}
	patch, err := parsePatch(body, q.tenant.user, q.tenant.mode, q.Limits.Patch)
	if err != nil {
		return err
	}
	u, err := q.updateUser(func(before *directory.User) (directory.UserInput, error) {
		attrs, warnings, err := patch.apply(decodeRaw(before.Attributes))
		if err != nil {
			return directory.UserInput{}, err
		}
		in := finishUser(q.tenant.user, attrs, before, warnings)
		in.SaysActive = patch.writes("active")
		return in, nil
	})
	if err != nil {
		return err
	}
	if q.tenant.SCIM.UserPatchNoContent {
		q.setHead(u.ID, "/Users/", u.Version, false)
		return q.sendNothing()
	}
	return q.sendUser(http.StatusOK, u, p)
}

func (q *request) updateUser(fn func(*directory.User) (directory.UserInput, error)) (*directory.User, error) {
	if q.id.IsZero() {
		return nil, q.noUser()
	}
	return q.Service.UpdateUser(q.r.Context(), q.by, q.tenant.ID, q.id, func(before *directory.User) (directory.UserInput, error) {
		q.event.TargetName, q.event.ExternalID = before.UserName, before.ExternalID
		if err := q.precondition(before.Version); err != nil {
			return directory.UserInput{}, err
		}
		return fn(before)
	})
}

func (q *request) deleteUser() error {
	q.begin(directory.ActionDelete, "User")
	if q.id.IsZero() {
		return q.noUser()
	}
	err := q.Service.DeleteUser(q.r.Context(), q.by, q.tenant.ID, q.id, func(u *directory.User) error {
		q.event.TargetName = u.UserName
		return q.precondition(u.Version)
	})
	if err != nil {
		return err
	}
	return q.sendNothing()
}

// noUser is the answer for an id that no user of this tenant has, whatever it looks like.
func (q *request) noUser() error {
	return &Error{Status: http.StatusNotFound, Detail: "User " + clip(q.name) + " not found"}
}

// profileOf reads from canonical attributes what the directory itself has to know of a person.
func profileOf(attrs Value) directory.Profile {
	text := func(v Value, name string) string {
		m, _ := v.Get(name)
		return m.Text
	}
	p := directory.Profile{UserName: text(attrs, "userName"), ExternalID: text(attrs, "externalId"),
		Language: text(attrs, "preferredLanguage"), Locale: text(attrs, "locale")}
	active, _ := attrs.Get("active")
	p.Active = active.Bool
	name, _ := attrs.Get("name")
	p.Name = firstOf(text(attrs, "displayName"), text(name, "formatted"),
		strings.TrimSpace(text(name, "givenName")+" "+text(name, "familyName")), p.UserName)
	emails, _ := attrs.Get("emails")
	var primary, work string
	for _, e := range emails.Elems {
		address := text(e, "value")
		if address == "" {
			continue
		}
		p.Emails = append(p.Emails, address)
		if isPrimary(e) {
			primary = address
		}
		if work == "" && equalFold(text(e, "type"), "work") {
			work = address
		}
	}
	p.Email = firstOf(append([]string{primary, work}, p.Emails...)...)
	return p
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func warningTexts(list []Warning) (texts []string) {
	for _, w := range list {
		texts = append(texts, w.Path+": "+w.Reason)
	}
	return texts
}

func appendTextList(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

// differences lists the attributes in which two canonical resources differ, with both values.
func differences(before, after []byte) (changes []directory.Change) {
	if bytes.Equal(before, after) {
		return nil
	}
	for s := scanMembers(after); ; {
		name, now, ok := s.next()
		if !ok {
			break
		}
		if was := rawMember(before, string(name)); !bytes.Equal(was, now) {
			changes = append(changes, directory.Change{Name: string(name), Old: logged(was), New: logged(now)})
		}
	}
	for s := scanMembers(before); ; {
		name, was, ok := s.next()
		if !ok {
			return changes
		}
		if rawMember(after, string(name)) == nil {
			changes = append(changes, directory.Change{Name: string(name), Old: logged(was)})
		}
	}
}

// maxLogged bounds in bytes what a log line quotes of one value.
const maxLogged = 4096

// logged copies a value for the log; of a large one it tells the size alone.
func logged(raw []byte) []byte {
	if len(raw) > maxLogged {
		return appendString(nil, fmt.Sprintf("(%d bytes)", len(raw)))
	}
	return bytes.Clone(raw)
}
