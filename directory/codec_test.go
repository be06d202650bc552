package directory

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var (
	genID   = rapid.Custom(func(t *rapid.T) (id ID) { copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")); return id })
	genText = rapid.OneOf(rapid.String(), rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }))
	genTime = rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMilli(rapid.Int64Range(-1<<45, 1<<45).Draw(t, "ms")).UTC()
	})
	genBytes = rapid.SliceOf(rapid.Byte())
	genTexts = rapid.SliceOf(genText)
)

func genUser(t *rapid.T) *User {
	return &User{TenantID: genID.Draw(t, "tenant"), ID: genID.Draw(t, "id"), AccountID: genID.Draw(t, "account"), ObjectID: genID.Draw(t, "object"),
		Profile: Profile{UserName: genText.Draw(t, "userName"), ExternalID: genText.Draw(t, "externalId"), Name: genText.Draw(t, "name"),
			Email: genText.Draw(t, "email"), Emails: genTexts.Draw(t, "emails"), Language: genText.Draw(t, "language"), Locale: genText.Draw(t, "locale"),
			Active: rapid.Bool().Draw(t, "active")},
		Version: rapid.Uint64().Draw(t, "version"), Created: genTime.Draw(t, "created"), Modified: genTime.Draw(t, "modified"),
		Schemas: genBytes.Draw(t, "schemas"), Attributes: genBytes.Draw(t, "attributes")}
}

func genGroup(t *rapid.T) *Group {
	return &Group{TenantID: genID.Draw(t, "tenant"), ID: genID.Draw(t, "id"), DisplayName: genText.Draw(t, "displayName"), ExternalID: genText.Draw(t, "externalId"),
		Version: rapid.Uint64().Draw(t, "version"), Created: genTime.Draw(t, "created"), Modified: genTime.Draw(t, "modified"),
		Schemas: genBytes.Draw(t, "schemas"), Attributes: genBytes.Draw(t, "attributes"), Alone: rapid.Bool().Draw(t, "alone")}
}

func genAccount(t *rapid.T) *Account {
	return &Account{ID: genID.Draw(t, "id"), UserName: genText.Draw(t, "userName"), Name: genText.Draw(t, "name"), Email: genText.Draw(t, "email"),
		Language: genText.Draw(t, "language"), Locale: genText.Draw(t, "locale"), DefaultEnvironmentID: genID.Draw(t, "default"),
		TenantID: genID.Draw(t, "tenant"), UserID: genID.Draw(t, "user"), Epoch: rapid.Uint64().Draw(t, "epoch"),
		Protected: rapid.Bool().Draw(t, "protected"), Created: genTime.Draw(t, "created"), Modified: genTime.Draw(t, "modified")}
}

func genAccess(t *rapid.T) *Access {
	return &Access{AccountID: genID.Draw(t, "account"), EnvironmentID: genID.Draw(t, "environment"), TenantID: genID.Draw(t, "tenant"),
		Name: genText.Draw(t, "name"), Email: genText.Draw(t, "email"), Language: genText.Draw(t, "language"), Locale: genText.Draw(t, "locale"),
		Active: rapid.Bool().Draw(t, "active"), Administrator: rapid.Bool().Draw(t, "administrator"), Menus: genTexts.Draw(t, "menus"),
		Created: genTime.Draw(t, "created"), Modified: genTime.Draw(t, "modified")}
}

// records has a case for each record of a binary form.
var records = map[string]func(*rapid.T) (record any, encoded []byte, decode func([]byte) (any, error)){
	"user": func(t *rapid.T) (any, []byte, func([]byte) (any, error)) {
		u := genUser(t)
		return u, u.encode(), func(b []byte) (any, error) { return decodeUser(u.TenantID, u.ID, b) }
	},
	"group": func(t *rapid.T) (any, []byte, func([]byte) (any, error)) {
		g := genGroup(t)
		return g, g.encode(), func(b []byte) (any, error) { return decodeGroup(g.TenantID, g.ID, b) }
	},
	"account": func(t *rapid.T) (any, []byte, func([]byte) (any, error)) {
		a := genAccount(t)
		return a, a.encode(), func(b []byte) (any, error) { return decodeAccount(a.ID, b) }
	},
	"access": func(t *rapid.T) (any, []byte, func([]byte) (any, error)) {
		a := genAccess(t)
		return a, a.encode(), func(b []byte) (any, error) { return decodeAccess(a.AccountID, a.EnvironmentID, b) }
	},
}

func TestCodecRoundTrip(t *testing.T) {
	for name, gen := range records {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				want, b, decode := gen(t)
				got, err := decode(bytes.Clone(b))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Every cut, every byte too many and every other version is an error.
func TestCodecDamage(t *testing.T) {
	for name, gen := range records {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				_, b, decode := gen(t)
				for n := range len(b) {
					if _, err := decode(b[:n]); err == nil {
						t.Fatalf("%d of %d bytes are decoded", n, len(b))
					}
				}
				if _, err := decode(append(bytes.Clone(b), 0)); err == nil {
					t.Fatal("a byte too many is decoded")
				}
				b[0]++
				if _, err := decode(b); err == nil {
					t.Fatal("another version is decoded")
				}
			})
		})
	}
}

// A group of the first version of the record reads as one of which nothing is known.
func TestCodecOldGroup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := genGroup(t)
		b := g.encode()
		b = b[:len(b)-1]
		b[0] = recordVersion
		g.Alone = false
		if got, err := decodeGroup(g.TenantID, g.ID, b); err != nil || !cmp.Equal(got, g, cmpopts.EquateEmpty()) {
			t.Fatal(got, err)
		}
	})
}

// The zero value of every record survives too: no field is told from another by being empty.
func TestCodecZero(t *testing.T) {
	if u, err := decodeUser(ID{}, ID{}, (&User{}).encode()); err != nil || !cmp.Equal(u, &User{}, cmpopts.EquateEmpty()) {
		t.Error(u, err)
	}
	if g, err := decodeGroup(ID{}, ID{}, (&Group{}).encode()); err != nil || !cmp.Equal(g, &Group{}, cmpopts.EquateEmpty()) {
		t.Error(g, err)
	}
	if a, err := decodeAccount(ID{}, (&Account{}).encode()); err != nil || !cmp.Equal(a, &Account{}) {
		t.Error(a, err)
	}
	if a, err := decodeAccess(ID{}, ID{}, (&Access{}).encode()); err != nil || !cmp.Equal(a, &Access{}) {
		t.Error(a, err)
	}
}

// UserResource reads the first part of what the whole is.
func TestDecodeResource(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genUser(t)
		got := &User{TenantID: want.TenantID, ID: want.ID}
		if d := got.decodeResource(want.encode()); d.bad {
			t.Fatal("bad")
		}
		got.UserName, got.ExternalID, got.Name, got.Email = want.UserName, want.ExternalID, want.Name, want.Email
		got.Emails, got.Language, got.Locale = want.Emails, want.Language, want.Locale
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// A record of an unknown origin is an error or a record that is written as it was read; never a
// panic, never memory for a length that the record only claims.
func FuzzDecode(f *testing.F) {
	huge := []byte{recordVersion}
	huge = append(huge, make([]byte, 16+1+16+4)...)
	f.Add(append(huge, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01))
	f.Add((&User{Profile: Profile{UserName: "a", Emails: []string{"b", ""}}, Version: math.MaxUint64, Attributes: []byte("{}")}).encode())
	f.Add((&Group{DisplayName: "a"}).encode())
	f.Add((&Account{UserName: "a", Epoch: 300}).encode())
	f.Add((&Access{Menus: []string{"a", "b"}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(again []byte, err error) {
			if err == nil && len(again) > len(b) {
				t.Errorf("%x is read and written as %x", b, again)
			}
		}
		u, err := decodeUser(ID{}, ID{}, b)
		check(u.encode(), err)
		g, err := decodeGroup(ID{}, ID{}, b)
		again := g.encode()
		if len(b) > 0 && b[0] == recordVersion { // of old: without flags
			again = again[:len(again)-1]
		}
		check(again, err)
		a, err := decodeAccount(ID{}, b)
		check(a.encode(), err)
		x, err := decodeAccess(ID{}, ID{}, b)
		check(x.encode(), err)
	})
}

// Keys: an index answers for exactly the text that is asked for, whatever ids follow it.
func TestIndexKeysDoNotRunIntoEachOther(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune{'a', 'b', 'é', 1, 0xff}))
	rapid.Check(t, func(t *rapid.T) {
		owner, x, y := genID.Draw(t, "owner"), text.Draw(t, "x"), text.Draw(t, "y")
		k := listKey(owner, x, genID.Draw(t, "id"))
		if got := bytes.HasPrefix(k, listPrefix(owner, y)); got != (x == y) {
			t.Fatalf("%q is found under %q: %v", x, y, got)
		}
	})
}
