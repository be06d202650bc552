package directory

import (
	"encoding/hex"
	"fmt"
)

// ID names a record: a UUID made by the server, never chosen by a client and never used again.
// New ids are time-ordered (UUID version 7), so that key order is the order of creation.
type ID [16]byte

// String returns the canonical lower-case form, 8-4-4-4-12.
func (id ID) String() string {
	var b [36]byte
	id.append(b[:0])
	return string(b[:])
}

// AppendText appends the form of String.
func (id ID) AppendText(dst []byte) ([]byte, error) { return id.append(dst), nil }

func (id ID) append(dst []byte) []byte {
	dst = hex.AppendEncode(dst, id[0:4])
	for _, part := range [][]byte{id[4:6], id[6:8], id[8:10], id[10:16]} {
		dst = append(dst, '-')
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

// IsZero reports whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads the canonical lower-case form and no other, so that one id has one spelling.
func ParseID(s string) (ID, bool) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, false
	}
	i := 0
	for n := range id {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			i++
		}
		hi, lo := hexDigit(s[i]), hexDigit(s[i+1])
		if hi > 15 || lo > 15 {
			return ID{}, false
		}
		id[n] = hi<<4 | lo
		i += 2
	}
	return id, true
}

func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// MarshalText is the form of String; the zero ID is empty.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return nil, nil
	}
	return id.append(nil), nil
}

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID{}
		return nil
	}
	parsed, ok := ParseID(string(b))
	if !ok {
		return fmt.Errorf("directory: %q is not an id", b)
	}
	*id = parsed
	return nil
}
