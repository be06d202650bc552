package scim

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"
)

// CursorTimeout is how long a cursor holds after it was given (cursorTimeout of RFC 9865 section 4).
const CursorTimeout = time.Hour

// cursor is where a page begins (RFC 9865). It is all that a list by cursor is: the server keeps nothing of it.
type cursor struct {
	back  bool  // the page is what comes before the place
	at    place // the last resource of the page before, or the first of the one behind; zero: the beginning, or with back the end
	total int   // what the first page of a filter counted; -1: nobody counted
}

// sealing turns cursors into text and back. A cursor is encrypted, because the value that a list is sorted by is
// somebody's name or address and URLs are logged. The key is made for one query of one tenant and one second: a cursor
// that is changed, or of another query or tenant, does not open, and no key seals many.
type sealing struct {
	key   [32]byte // of the store
	query []byte   // what the cursor is bound to
	now   time.Time
}

// cursorKey keeps the key of the store.
type cursorKey struct {
	mu  sync.Mutex
	key *[32]byte
}

func (h *Handler) cursorKey(ctx context.Context) ([32]byte, error) {
	h.cursors.mu.Lock()
	defer h.cursors.mu.Unlock()
	if h.cursors.key == nil {
		var fresh [32]byte
		_, _ = rand.Read(fresh[:]) // never fails
		key, err := h.Service.CursorKey(ctx, fresh)
		if err != nil {
			return key, err
		}
		h.cursors.key = &key
	}
	return *h.cursors.key, nil
}

var (
	errInvalidCursor = badRequest("invalidCursor", "the cursor is not one of this query; begin again with an empty one")
	errExpiredCursor = badRequest("expiredCursor", "the cursor has expired; begin again with an empty one")
)

// cursorPage reads the parameters of a page by cursor. As with startIndex a count below 0 is 0, and 0 asks for the total
// alone. The RFC lets a server refuse a count above its page size or return less: tolerant mode returns less where
// strict mode refuses.
func (q *request) cursorPage(out *query, in params) (err error) {
	if in.start != "" {
		return invalidValue("give either cursor or startIndex, not both")
	}
	if out.count, err = number(in.count, "count", "invalidCount", q.Limits.PageDefault); err != nil {
		return err
	}
	if most := q.Limits.PageMax; out.count > most && q.tenant.mode.Strict {
		return badRequest("invalidCount", "count must be between 0 and %d with a cursor", most)
	}
	out.count = min(max(out.count, 0), q.Limits.PageMax)
	key, err := q.cursorKey(q.r.Context())
	if err != nil {
		return err
	}
	out.seal = sealing{key: key, query: q.bound(out, in), now: q.Now()}
	if in.cursor == "" {
		out.cursor = &cursor{total: -1}
		return nil
	}
	out.cursor, err = out.seal.open(in.cursor)
	if err == nil && out.cursor.at.kind >= len(out.types) {
		err = errInvalidCursor
	}
	return err
}

// bound returns what a cursor is bound to: the tenant and its extensions, the types, the filter in canonical form, and
// the order. How many resources a page has and what it shows of them may change from page to page.
func (q *request) bound(out *query, in params) []byte {
	h := sha256.New()
	part := func(b []byte) {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		_, _ = h.Write(b)
	}
	part(q.tenant.ID[:])
	for _, doc := range q.tenant.SCIM.Extensions {
		part(doc)
	}
	for _, t := range out.types {
		part([]byte(t.rt.Name))
		if in.filtered {
			part([]byte(t.filter.String()))
		}
		if t.by.attr != nil {
			part(t.by.appendName(nil))
		}
	}
	part([]byte{flag(in.filtered), flag(out.sorted), flag(out.descending)})
	return h.Sum(nil)
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

const (
	cursorVersion = 1
	cursorHead    = 1 + 8    // version, seconds of the end
	maxCursor     = 24 << 10 // characters; no cursor of ours is longer
	cursorBack    = byte(1)  // flags
	cursorPlace   = byte(2)  // flags: there is a place
	cursorFixed   = 1 + 8    // flags, total
	cursorAt      = 1 + 16   // kind, id
)

// appendCursor appends a member with a cursor, where there is one.
func (l *listing) appendCursor(dst []byte, name string, c *cursor) []byte {
	if c == nil {
		return dst
	}
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	dst = append(dst, `":"`...)
	return append(l.seal.append(dst, c), '"')
}

// append appends the text of a cursor: unreserved characters alone (RFC 3986 section 2.3), as RFC 9865 asks for.
func (s *sealing) append(dst []byte, c *cursor) []byte {
	head := binary.BigEndian.AppendUint64([]byte{cursorVersion}, uint64(s.now.Add(CursorTimeout).Unix()))
	flags := flag(c.back) * cursorBack
	if !c.at.isZero() {
		flags |= cursorPlace
	}
	plain := binary.BigEndian.AppendUint64([]byte{flags}, uint64(c.total))
	if !c.at.isZero() {
		plain = append(plain, byte(c.at.kind))
		plain = append(plain, c.at.id[:]...)
		plain = append(plain, c.at.key...)
	}
	aead := s.aead(head)
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	sealed := aead.Seal(append(head, nonce...), nonce, plain, nil)
	return base64.RawURLEncoding.AppendEncode(dst, sealed)
}

// aead returns what seals the cursors of the query that end at the second that head names.
func (s *sealing) aead(head []byte) cipher.AEAD {
	mac := hmac.New(sha256.New, s.key[:])
	_, _ = mac.Write(s.query)
	_, _ = mac.Write(head)
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		panic(err) // never: the key has 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // never with AES
	}
	return aead
}

// open reads what append wrote. That a cursor has expired is said of one of ours alone.
func (s *sealing) open(text string) (*cursor, error) {
	if len(text) > maxCursor {
		return nil, errInvalidCursor
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(sealed) < cursorHead || sealed[0] != cursorVersion {
		return nil, errInvalidCursor
	}
	head, rest := sealed[:cursorHead], sealed[cursorHead:]
	aead := s.aead(head)
	if len(rest) < aead.NonceSize() {
		return nil, errInvalidCursor
	}
	plain, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], nil)
	if err != nil {
		return nil, errInvalidCursor
	}
	if s.now.Unix() > int64(binary.BigEndian.Uint64(head[1:])) {
		return nil, errExpiredCursor
	}
	c := &cursor{back: plain[0]&cursorBack != 0, total: int(binary.BigEndian.Uint64(plain[1:cursorFixed]))}
	if plain[0]&cursorPlace != 0 {
		at := plain[cursorFixed:]
		c.at.kind = int(at[0])
		copy(c.at.id[:], at[1:])
		c.at.key = string(at[cursorAt:])
	}
	return c, nil
}

// link sets the cursors of the pages around the one that holds run; more says that there are others beyond it, the way
// the page was read. Behind an empty page, and before one, begins whatever there is: its neighbours have gone.
func (l *listing) link(run []place, more bool) {
	total := l.total
	if l.unfiltered() {
		total = -1
	}
	if l.count == 0 { // nothing was read: the page is still ahead
		if more && !l.cursor.back {
			l.next = &cursor{at: l.cursor.at, total: total}
		}
		return
	}
	ahead := &cursor{total: total}
	behind := &cursor{total: total, back: true}
	if len(run) > 0 {
		ahead.at, behind.at = run[len(run)-1], run[0]
	}
	beyond, before := &l.next, &l.previous
	toBeyond, toBefore := ahead, behind
	if l.cursor.back {
		beyond, before, toBeyond, toBefore = before, beyond, toBefore, toBeyond
	}
	if more {
		*beyond = toBeyond
	}
	if !l.cursor.at.isZero() { // a page was there, where the cursor comes from
		*before = toBefore
	}
}
