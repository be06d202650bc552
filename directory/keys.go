package directory

import (
	"encoding/binary"
	"strings"
)

// key joins ids into a key.
func key(ids ...ID) []byte {
	b := make([]byte, 0, 16*len(ids)+32)
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

// textKey is a tenant (or organization) and a text: the key of a unique name.
func textKey(owner ID, text string) []byte { return append(key(owner), text...) }

// listKey is the key of an index that may hold a text more than once. The zero byte ends the
// text: no text that is indexed holds one.
func listKey(owner ID, text string, id ID) []byte {
	return append(listPrefix(owner, text), id[:]...)
}

func listPrefix(owner ID, text string) []byte { return append(textKey(owner, text), 0) }

// numberKey is the key of a numbered row of an owner.
func numberKey(owner ID, n uint64) []byte { return append(key(owner), sequenceKey(n)...) }

func sequenceKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// environmentAccessKey orders the accesses of an environment by state, so that both are counted.
func environmentAccessKey(environment ID, active bool, account ID) []byte {
	return append(environmentAccessPrefix(environment, active), account[:]...)
}

func environmentAccessPrefix(environment ID, active bool) []byte {
	b := key(environment)
	if active {
		return append(b, 1)
	}
	return append(b, 0)
}

// lastID reads the id at the end of a key.
func lastID(k []byte) (id ID) {
	copy(id[:], k[len(k)-16:])
	return id
}

// toID reads an id that is a whole value.
func toID(value []byte) (id ID) {
	copy(id[:], value)
	return id
}

// foldObjectID brings a directory's object id into the form under which it is compared: GUIDs
// without regard to case, anything else as it is.
func foldObjectID(s string) string {
	s = strings.TrimSpace(s)
	if lower := strings.ToLower(s); lower != s {
		if _, ok := ParseID(lower); ok {
			return lower
		}
	}
	return s
}

// objectID reads an Entra object id from an externalId; zero when it is not a GUID.
func objectID(externalID string) ID {
	id, _ := ParseID(strings.ToLower(externalID))
	return id
}
