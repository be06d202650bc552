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
	q.by = directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: q.token.String(), RequestID: q.RequestID(q.r), Method: q.r.Method, Address: q.from}
	if q.op != nil {
		q.by.Method = q.op.method
	}
	q.by.Answer = q.tenant.answer(q.by.Method, targetType)
	q.event.Action, q.event.TargetType, q.event.TargetID = action, targetType, clip(q.name)
}

// answer is the status of what a write of users or groups is answered with, alone and in a bulk, unless the request names
// attributes of a PATCH that would have no body.
func (t *tenant) answer(method, targetType string) int {
	switch {
	case method == http.MethodPost:
		return http.StatusCreated
	case method == http.MethodDelete,
		method == http.MethodPatch && targetType == "User" && t.SCIM.UserPatchNoContent,
		method == http.MethodPatch && targetType == "Group" && !t.SCIM.GroupPatchContent:
		return http.StatusNoContent
	}
	return http.StatusOK
}

// write reads what a write asks for: its body, and which attributes the answer shall hold. All of
// a request is understood before anything of it is carried out.
func (q *request) write(rt *ResourceType) (Value, *Projection, error) {
	p, err := q.projection(rt)
	if err != nil {
		return Value{}, nil, err
	}
	body, err := q.body()
	p = p.answering(q.r.Method, body, rt)
	if p.only && q.by.Answer == http.StatusNoContent {
		q.by.Answer = http.StatusOK // it names what it wants to see
	}
	return body, p, err
}

// task is a write that was understood: what is left of it happens in a transaction, with others of a
// bulk or alone. It gives the resource as it is afterwards. It may run again.
type task func(*directory.Batch) (written, error)

// written is the resource that a write left: a user, a group, or neither where it is gone.
type written struct {
	user  *directory.User
	group *directory.Group
}

// carryOut runs a task in a transaction of its own, if it was understood.
func (q *request) carryOut(t task, err error) (w written, _ error) {
	if err != nil {
		return written{}, err
	}
	err = q.Service.Together(q.r.Context(), func(b *directory.Batch) (err error) {
		w, err = t(b)
		return err
	})
	return w, err
}

func (q *request) createUser() error {
	q.begin(directory.ActionCreate, "User")
	body, p, err := q.write(q.tenant.user)
	if err != nil {
		return err
	}
	w, err := q.carryOut(q.userPost(body))
	if err != nil {
		return err
	}
	return q.sendUser(http.StatusCreated, w.user, p)
}

// userPost understands the creation of a user, with the id of the request where it has one.
func (q *request) userPost(body Value) (task, error) {
	in, err := q.userInput(read(body, q.tenant.user, q.tenant.mode, "userName"), nil)
	if err != nil {
		return nil, err
	}
	return func(b *directory.Batch) (written, error) {
		u, err := b.CreateUser(q.by, q.tenant.ID, q.id, in)
		return written{user: u}, err
	}, nil
}

// reading is the body of a POST or PUT as it was understood. A PUT does this before its
// transaction, where it holds up nobody, and reports err within it, and so does a PATCH: that the
// resource is missing or has another version comes first.
type reading struct {
	body     Value  // with the core attributes where they belong
	name     string // of the resource, for the log
	named    bool   // the body gives one
	attrs    Value
	warnings []Warning
	err      error
}

func read(body Value, rt *ResourceType, mode Mode, nameAttribute string) (r reading) {
	r.body, r.err = rt.unfold(body, mode)
	if name, ok := r.body.Get(nameAttribute); ok && name.Kind == String {
		r.name, r.named = clip(name.Text), true
	}
	if r.err == nil {
		r.attrs, r.warnings, r.err = rt.normalize(r.body, mode)
	}
	return r
}

// replaces settles what was read with the attributes that it replaces, nil for a new resource.
func (q *request) replaces(r *reading, rt *ResourceType, before []byte) (err error) {
	if r.named {
		q.event.TargetName = r.name
	}
	if r.err != nil {
		return r.err
	}
	if before == nil {
		return rt.checkNames(Value{}, r.attrs)
	}
	r.attrs, err = rt.settle(decodeRaw(before), r.attrs)
	return err
}

// userInput makes a user of the body of a POST or PUT. before is the user that a PUT replaces.
func (q *request) userInput(r reading, before *directory.User) (directory.UserInput, error) {
	var old []byte
	if before != nil {
		old = before.Attributes
	}
	if err := q.replaces(&r, q.tenant.user, old); err != nil {
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
	w, err := q.carryOut(q.userPut(body))
	if err != nil {
		return err
	}
	return q.sendUser(http.StatusOK, w.user, p)
}

func (q *request) userPut(body Value) (task, error) {
	r := read(body, q.tenant.user, q.tenant.mode, "userName")
	return q.updateUser(func(before *directory.User) (directory.UserInput, error) {
		return q.userInput(r, before)
	})
}

func (q *request) patchUser() error {
	q.begin(directory.ActionUpdate, "User")
	body, p, err := q.write(q.tenant.user)
	if err != nil {
		return err
	}
	w, err := q.carryOut(q.userPatch(body))
	if err != nil {
		return err
	}
	if q.by.Answer == http.StatusNoContent {
		q.setHead(w.user.ID, "/Users/", w.user.Version, false)
		return q.sendNothing()
	}
	return q.sendUser(http.StatusOK, w.user, p)
}

func (q *request) userPatch(body Value) (task, error) {
	patch, wrong := parsePatch(body, q.tenant.user, q.tenant.mode, q.Limits.Patch)
	return q.updateUser(func(before *directory.User) (directory.UserInput, error) {
		if wrong != nil {
			return directory.UserInput{}, wrong
		}
		attrs, warnings, err := patch.apply(decodeRaw(before.Attributes))
		if err != nil {
			return directory.UserInput{}, err
		}
		in := finishUser(q.tenant.user, attrs, before, warnings)
		in.SaysActive = patch.writes("active")
		return in, nil
	})
}

func (q *request) updateUser(fn func(*directory.User) (directory.UserInput, error)) (task, error) {
	if q.id.IsZero() {
		return nil, q.noUser()
	}
	return func(b *directory.Batch) (written, error) {
		u, err := b.UpdateUser(q.by, q.tenant.ID, q.id, func(before *directory.User) (directory.UserInput, error) {
			q.event.TargetName, q.event.ExternalID = before.UserName, before.ExternalID
			if err := q.precondition(before.Version); err != nil {
				return directory.UserInput{}, err
			}
			return fn(before)
		})
		return written{user: u}, err
	}, nil
}

func (q *request) deleteUser() error {
	q.begin(directory.ActionDelete, "User")
	if _, err := q.carryOut(q.userDelete(Value{})); err != nil {
		return err
	}
	return q.sendNothing()
}

func (q *request) userDelete(Value) (task, error) {
	if q.id.IsZero() {
		return nil, q.noUser()
	}
	return func(b *directory.Batch) (written, error) {
		return written{}, b.DeleteUser(q.by, q.tenant.ID, q.id, func(u *directory.User) error {
			q.event.TargetName = u.UserName
			return q.precondition(u.Version)
		})
	}, nil
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
