package bolt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/bizzstream/bizzscim/directory"
)

// A record is what lies under a key: one format byte, four bytes of checksum, the value. The
// checksum is a CRC-32C of the table's name, the key and the value, so that neither a changed
// byte nor a record that has come under another key or into another table passes for good.
const (
	recordFormat = 1
	recordHeader = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// table is a directory.Table as this store keeps it. Tables do not change after Open.
type table struct {
	*directory.Table
	index int    // in Store.tables and snapshot.trees
	seed  uint32 // checksum of what all records of the table have in common

	blocks bool // rows are counted in blocks, see blocks.go
}

func newTable(t *directory.Table, index int) *table {
	seed := crc32.Update(0, castagnoli, append([]byte{recordFormat}, t.Name...))
	return &table{Table: t, index: index, seed: seed, blocks: t.CountPrefix > 0 && t.Sequential}
}

// checksum mixes the length of the key in where the key ends, so that a byte cannot move from
// the key to the value.
func (t *table) checksum(key, value []byte) uint32 {
	sum := crc32.Update(t.seed, castagnoli, key)
	return crc32.Update(sum^uint32(len(key))*0x9e3779b1, castagnoli, value)
}

func (t *table) seal(key, value []byte) []byte {
	rec := make([]byte, recordHeader+len(value))
	rec[0] = recordFormat
	binary.BigEndian.PutUint32(rec[1:], t.checksum(key, value))
	copy(rec[recordHeader:], value)
	return rec
}

// open returns the value in a record, never nil, or ErrDamaged.
func (t *table) open(key, rec []byte) ([]byte, error) {
	if len(rec) < recordHeader || rec[0] != recordFormat {
		return nil, t.damaged(key, "no record of a known format")
	}
	value := rec[recordHeader:len(rec):len(rec)]
	if binary.BigEndian.Uint32(rec[1:]) != t.checksum(key, value) {
		return nil, t.damaged(key, "checksum does not match")
	}
	return value, nil
}

func (t *table) damaged(key []byte, what string) error {
	const most = 128 // a damaged key may seem very long
	if len(key) > most {
		return fmt.Errorf("%w: table %s, key %x… (%d bytes): %s", directory.ErrDamaged, t.Name, key[:most], len(key), what)
	}
	return fmt.Errorf("%w: table %s, key %x: %s", directory.ErrDamaged, t.Name, key, what)
}
