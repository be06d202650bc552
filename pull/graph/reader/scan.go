package reader

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/bizzstream/bizzscim/directory"
)

// What the JSON of an answer may be. Graph's own limits are far below.
const (
	maxDepth = 32   // of values inside of each other
	maxKeys  = 64   // of an object that we look into
	maxText  = 4096 // bytes of a text that we take
)

// scanner reads JSON (RFC 8259) from a body that is there as a whole. It makes nothing of a value that
// nobody asked for, but checks that it is one. The first error ends the use of it.
type scanner struct {
	body []byte
	at   int      // the next byte
	keys [][]byte // of the objects that are open, those of the innermost last
}

// object is an object that is open: its keys are scanner.keys[from:].
type object struct{ from int }

func (s *scanner) fail(format string, args ...any) error {
	return fmt.Errorf("byte %d: %s", s.at, fmt.Sprintf(format, args...))
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.body) {
		switch c := s.body[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// expect takes one byte of punctuation.
func (s *scanner) expect(c byte) error {
	if got := s.peek(); got != c {
		return s.found(fmt.Sprintf("%q", c))
	}
	s.at++
	return nil
}

// found is the error for something other than what was expected.
func (s *scanner) found(want string) error {
	if s.at >= len(s.body) {
		return s.fail("the answer ends where %s should be", want)
	}
	return s.fail("%q where %s should be", s.body[s.at], want)
}

// end checks that nothing follows.
func (s *scanner) end() error {
	if s.peek(); s.at < len(s.body) {
		return s.fail("something follows the end of the answer")
	}
	return nil
}

func (s *scanner) open() (object, error) {
	return object{from: len(s.keys)}, s.expect('{')
}

// next moves to the value of the next key and returns the key, which is valid until the body is gone.
// The object is closed when there is none. A key that stands in the object twice is an error: two
// readers could take different ones.
func (s *scanner) next(o object) (key []byte, ok bool, err error) {
	first := len(s.keys) == o.from
	if s.peek() == '}' {
		s.at++
		s.keys = s.keys[:o.from]
		return nil, false, nil
	}
	if !first {
		if err := s.expect(','); err != nil {
			return nil, false, err
		}
	}
	raw, escaped, err := s.text()
	if err != nil {
		return nil, false, err
	}
	if escaped {
		if raw, err = s.unescape(nil, raw); err != nil {
			return nil, false, err
		}
	}
	for _, k := range s.keys[o.from:] {
		if bytes.Equal(k, raw) {
			return nil, false, s.fail("%.100q is there twice", raw)
		}
	}
	if len(s.keys)-o.from == maxKeys {
		return nil, false, s.fail("an object has more than %d keys", maxKeys)
	}
	s.keys = append(s.keys, raw)
	return raw, true, s.expect(':')
}

// fields takes an object and calls each with the scanner before the value of each key.
func (s *scanner) fields(each func(key string) error) error {
	o, err := s.open()
	if err != nil {
		return err
	}
	for {
		key, ok, err := s.next(o)
		if err != nil || !ok {
			return err
		}
		if err := each(string(key)); err != nil {
			return err
		}
	}
}

// whole takes a body that is one object.
func whole(body []byte, each func(s *scanner, key string) error) (*scanner, error) {
	s := &scanner{body: body}
	if err := s.fields(func(key string) error { return each(s, key) }); err != nil {
		return s, err
	}
	err := s.end()
	return s, err
}

// elements calls each with the scanner before each element of an array.
func (s *scanner) elements(each func() error) error {
	if err := s.expect('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		if first && s.peek() == ']' {
			s.at++
			return nil
		}
		if err := each(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.at++
		case ']':
			s.at++
			return nil
		default:
			return s.found("',' or ']'")
		}
	}
}

// text takes a string and returns what stands between the quotes: valid UTF-8, but for its escapes,
// which unescape resolves.
func (s *scanner) text() (raw []byte, escaped bool, err error) {
	if err := s.expect('"'); err != nil {
		return nil, false, err
	}
	start := s.at
	var high byte
	for s.at < len(s.body) {
		c := s.body[s.at]
		switch {
		case c == '"':
			raw = s.body[start:s.at]
			if high >= utf8.RuneSelf && !utf8.Valid(raw) {
				return nil, false, s.fail("a text is not UTF-8")
			}
			s.at++
			return raw, escaped, nil
		case c == '\\':
			escaped = true
			s.at++ // what is escaped cannot end the string
			if s.at == len(s.body) {
				return nil, false, s.found("the rest of a text")
			}
			high |= s.body[s.at]
		case c < ' ':
			return nil, false, s.fail("a control character in a text")
		}
		high |= c
		s.at++
	}
	return nil, false, s.found("the rest of a text")
}

// unescape appends a text with its escapes resolved.
func (s *scanner) unescape(dst, raw []byte) ([]byte, error) {
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...), nil
		}
		dst = append(dst, raw[:i]...)
		c := raw[i+1] // text has seen that there is one
		raw = raw[i+2:]
		switch c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n := unicodeEscape(raw)
			if n == 0 {
				return nil, s.fail("a text with a wrong \\u escape")
			}
			dst = utf8.AppendRune(dst, r)
			raw = raw[n:]
		default:
			return nil, s.fail("a text with the unknown escape %q", c)
		}
	}
	return dst, nil
}

// unicodeEscape reads what follows \u: four digits, or ten bytes when they are one half of a pair. It
// returns 0 for what is neither, one half alone among it.
func unicodeEscape(b []byte) (r rune, n int) {
	first, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 4
	}
	if len(b) < 10 || b[4] != '\\' || b[5] != 'u' {
		return 0, 0
	}
	second, ok := hex4(b[6:])
	if !ok {
		return 0, 0
	}
	if r = utf16.DecodeRune(first, second); r == utf8.RuneError {
		return 0, 0
	}
	return r, 10
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		d := hexDigit(c)
		if d > 15 {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// null takes null if that is next.
func (s *scanner) null() (bool, error) {
	if s.peek() != 'n' {
		return false, nil
	}
	return true, s.word("null")
}

func (s *scanner) word(w string) error {
	if !bytes.HasPrefix(s.body[s.at:], []byte(w)) {
		return s.found(w)
	}
	s.at += len(w)
	return nil
}

func (s *scanner) boolean() (bool, error) {
	switch s.peek() {
	case 't':
		return true, s.word("true")
	case 'f':
		return false, s.word("false")
	}
	return false, s.found("true or false")
}

// number takes a number of at most 15 digits without sign, fraction and exponent.
func (s *scanner) number() (int, error) {
	s.peek()
	start := s.at
	if err := s.skipNumber(); err != nil {
		return 0, err
	}
	n := 0
	for _, c := range s.body[start:s.at] {
		if c < '0' || c > '9' || s.at-start > 15 {
			return 0, s.fail("the number %.50s is not a count", s.body[start:s.at])
		}
		n = n*10 + int(c-'0')
	}
	return n, nil
}

// string takes a text, resolved and for its owner alone.
func (s *scanner) string() (string, error) {
	raw, escaped, err := s.text()
	if err != nil {
		return "", err
	}
	if escaped {
		if raw, err = s.unescape(nil, raw); err != nil {
			return "", err
		}
	}
	return string(raw), nil
}

var errNotGUID = errors.New("an id is not a GUID")

// id takes an object id.
func (s *scanner) id() (directory.ID, error) {
	raw, escaped, err := s.text()
	if err != nil {
		return directory.ID{}, err
	}
	id, ok := parseID(raw)
	if escaped || !ok {
		return directory.ID{}, fmt.Errorf("byte %d: %w", s.at, errNotGUID)
	}
	return id, nil
}

// skip takes a value that nobody asked for.
func (s *scanner) skip(depth int) error {
	if depth == maxDepth {
		return s.fail("values are more than %d deep inside of each other", maxDepth)
	}
	switch c := s.peek(); c {
	case '{':
		return s.fields(func(string) error { return s.skip(depth + 1) })
	case '[':
		return s.elements(func() error { return s.skip(depth + 1) })
	case '"':
		_, err := s.string()
		return err
	case 't', 'f':
		_, err := s.boolean()
		return err
	case 'n':
		_, err := s.null()
		return err
	default:
		return s.skipNumber()
	}
}

// skipNumber takes a number as RFC 8259 section 6 writes it.
func (s *scanner) skipNumber() error {
	if s.at < len(s.body) && s.body[s.at] == '-' {
		s.at++
	}
	switch {
	case s.at < len(s.body) && s.body[s.at] == '0':
		s.at++
	case !s.digits():
		return s.found("a value")
	}
	if s.at < len(s.body) && s.body[s.at] == '.' {
		s.at++
		if !s.digits() {
			return s.found("a digit")
		}
	}
	if s.at < len(s.body) && s.body[s.at]|0x20 == 'e' {
		s.at++
		if s.at < len(s.body) && (s.body[s.at] == '+' || s.body[s.at] == '-') {
			s.at++
		}
		if !s.digits() {
			return s.found("a digit")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.body) && '0' <= s.body[s.at] && s.body[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

// parseID reads a GUID: 8-4-4-4-12 hexadecimal digits, in either case.
func parseID(s []byte) (directory.ID, bool) {
	var id directory.ID
	if len(s) != 36 {
		return id, false
	}
	i := 0
	for n := range id {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return directory.ID{}, false
			}
			i++
		}
		hi, lo := hexDigit(s[i]), hexDigit(s[i+1])
		if hi > 15 || lo > 15 {
			return directory.ID{}, false
		}
		id[n] = hi<<4 | lo
		i += 2
	}
	return id, !id.IsZero()
}
