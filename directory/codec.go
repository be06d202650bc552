package directory

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Records that requests read and write all the time (accounts, users, groups, accesses, sessions) have a
// binary form: a version byte, then fields in fixed order. All others are JSON. Fields are only
// ever added at the end, under a higher version byte.

const (
	recordVersion = 1
	groupVersion  = 2 // of groups: flags behind the texts
)

var errRecord = errors.New("directory: record cannot be decoded")

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func appendTime(dst []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(t.UnixMilli()))
}

func appendFlags(dst []byte, flags ...bool) []byte {
	var b byte
	for i, f := range flags {
		if f {
			b |= 1 << i
		}
	}
	return append(dst, b)
}

// decoder reads fields in order; after a short or malformed field it only gives zero values,
// and err says so.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) take(n uint64) []byte {
	if uint64(len(d.rest)) < n {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }
func (d *decoder) text() string  { return string(d.bytes()) }

func (d *decoder) texts() []string {
	n := d.uvarint()
	if n == 0 || n > uint64(len(d.rest)) {
		d.bad = d.bad || n > 0
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.text()
	}
	return list
}

func (d *decoder) id() (id ID) {
	copy(id[:], d.take(16))
	return id
}

func (d *decoder) time() time.Time {
	b := d.take(8)
	if b == nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC()
}

func (d *decoder) byte() byte {
	b := d.take(1)
	if b == nil {
		return 0
	}
	return b[0]
}

func (d *decoder) finish(kind string) error {
	if d.bad || len(d.rest) > 0 {
		return fmt.Errorf("%w: %s", errRecord, kind)
	}
	return nil
}

func decode(value []byte) *decoder {
	d := &decoder{rest: value}
	if d.byte() != recordVersion {
		d.bad = true
	}
	return d
}

func appendTexts(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = appendText(dst, s)
	}
	return dst
}

func (u *User) encode() []byte {
	b := make([]byte, 0, 256+len(u.Attributes)+len(u.Schemas))
	b = append(b, recordVersion)
	b = append(b, u.AccountID[:]...)
	b = append(b, u.ObjectID[:]...)
	b = appendFlags(b, u.Active)
	b = binary.AppendUvarint(b, u.Version)
	b = appendTime(b, u.Created)
	b = appendTime(b, u.Modified)
	b = appendBytes(b, u.Schemas)
	b = appendBytes(b, u.Attributes)
	b = appendText(b, u.UserName)
	b = appendText(b, u.ExternalID)
	b = appendText(b, u.Name)
	b = appendText(b, u.Email)
	b = appendText(b, u.Language)
	b = appendText(b, u.Locale)
	return appendTexts(b, u.Emails)
}

// decodeUser reads a whole user. Schemas and Attributes share value's memory.
func decodeUser(tenant, id ID, value []byte) (*User, error) {
	u := &User{TenantID: tenant, ID: id}
	d := u.decodeResource(value)
	u.UserName, u.ExternalID, u.Name, u.Email = d.text(), d.text(), d.text(), d.text()
	u.Language, u.Locale = d.text(), d.text()
	u.Emails = d.texts()
	return u, d.finish("user")
}

// decodeResource reads the part that serving the resource needs, and leaves the texts that the
// domain keeps for itself.
func (u *User) decodeResource(value []byte) decoder {
	d := decode(value)
	u.AccountID, u.ObjectID = d.id(), d.id()
	u.Active = d.byte()&1 != 0
	u.Version, u.Created, u.Modified = d.uvarint(), d.time(), d.time()
	u.Schemas, u.Attributes = d.bytes(), d.bytes()
	return *d
}

func (g *Group) encode() []byte {
	b := make([]byte, 0, 97+len(g.Attributes)+len(g.Schemas)+len(g.DisplayName)+len(g.ExternalID))
	b = append(b, groupVersion)
	b = binary.AppendUvarint(b, g.Version)
	b = appendTime(b, g.Created)
	b = appendTime(b, g.Modified)
	b = appendBytes(b, g.Schemas)
	b = appendBytes(b, g.Attributes)
	b = appendText(b, g.DisplayName)
	b = appendText(b, g.ExternalID)
	return appendFlags(b, g.Alone)
}

func decodeGroup(tenant, id ID, value []byte) (*Group, error) {
	g := &Group{TenantID: tenant, ID: id}
	d := &decoder{rest: value}
	version := d.byte()
	d.bad = d.bad || version != recordVersion && version != groupVersion
	g.Version, g.Created, g.Modified = d.uvarint(), d.time(), d.time()
	g.Schemas, g.Attributes = d.bytes(), d.bytes()
	g.DisplayName, g.ExternalID = d.text(), d.text()
	if version == groupVersion {
		g.Alone = d.byte()&1 != 0
	}
	return g, d.finish("group")
}

func (a *Account) encode() []byte {
	b := make([]byte, 0, 192)
	b = append(b, recordVersion)
	b = append(b, a.TenantID[:]...)
	b = append(b, a.UserID[:]...)
	b = append(b, a.DefaultEnvironmentID[:]...)
	b = appendFlags(b, a.Protected)
	b = binary.AppendUvarint(b, a.Epoch)
	b = appendTime(b, a.Created)
	b = appendTime(b, a.Modified)
	for _, s := range []string{a.UserName, a.Name, a.Email, a.Language, a.Locale} {
		b = appendText(b, s)
	}
	return b
}

func decodeAccount(id ID, value []byte) (*Account, error) {
	a := &Account{ID: id}
	d := decode(value)
	a.TenantID, a.UserID, a.DefaultEnvironmentID = d.id(), d.id(), d.id()
	a.Protected = d.byte()&1 != 0
	a.Epoch, a.Created, a.Modified = d.uvarint(), d.time(), d.time()
	a.UserName, a.Name, a.Email, a.Language, a.Locale = d.text(), d.text(), d.text(), d.text(), d.text()
	return a, d.finish("account")
}

func (a *Access) encode() []byte {
	b := make([]byte, 0, 128)
	b = append(b, recordVersion)
	b = append(b, a.TenantID[:]...)
	b = appendFlags(b, a.Active, a.Administrator)
	b = appendTime(b, a.Created)
	b = appendTime(b, a.Modified)
	for _, s := range []string{a.Name, a.Email, a.Language, a.Locale} {
		b = appendText(b, s)
	}
	return appendTexts(b, a.Menus)
}

func decodeAccess(account, environment ID, value []byte) (*Access, error) {
	a := &Access{AccountID: account, EnvironmentID: environment}
	d := decode(value)
	a.TenantID = d.id()
	flags := d.byte()
	a.Active, a.Administrator = flags&1 != 0, flags&2 != 0
	a.Created, a.Modified = d.time(), d.time()
	a.Name, a.Email, a.Language, a.Locale = d.text(), d.text(), d.text(), d.text()
	a.Menus = d.texts()
	return a, d.finish("access")
}

func (s *Session) encode() []byte {
	b := make([]byte, 0, 256)
	b = append(b, recordVersion)
	for _, id := range []*ID{&s.ID, &s.AccountID, &s.TenantID, &s.ObjectID} {
		b = append(b, id[:]...)
	}
	b = binary.AppendUvarint(b, s.Epoch)
	b = binary.AppendUvarint(b, s.Generation)
	for _, t := range []time.Time{s.Created, s.Expires, s.Seen, s.Ended} {
		b = appendTime(b, t)
	}
	for _, s := range []string{string(s.Method), string(s.Reason), s.SID, s.LogoutHint, s.Address, s.UserAgent} {
		b = appendText(b, s)
	}
	return b
}

// decodeSession reads the session with that SHA-256, which it keeps a copy of.
func decodeSession(hash, value []byte) (*Session, error) {
	s := &Session{Hash: bytes.Clone(hash)}
	d := decode(value)
	s.ID, s.AccountID, s.TenantID, s.ObjectID = d.id(), d.id(), d.id(), d.id()
	s.Epoch, s.Generation = d.uvarint(), d.uvarint()
	s.Created, s.Expires, s.Seen, s.Ended = d.time(), d.time(), d.time(), d.time()
	s.Method, s.Reason = SignInMethod(d.text()), EndReason(d.text())
	s.SID, s.LogoutHint, s.Address, s.UserAgent = d.text(), d.text(), d.text(), d.text()
	return s, d.finish("session")
}

func encodeJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("directory: a record that cannot be encoded: %v", err)) // only a type of ours can do that
	}
	return b
}

func decodeJSON[T any](value []byte) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(value, v); err != nil {
		return nil, fmt.Errorf("%w: %T: %w", errRecord, *v, err)
	}
	return v, nil
}
