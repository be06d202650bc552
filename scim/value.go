package scim

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// Kind is the JSON type of a Value.
type Kind uint8

// The kinds of a Value.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// Value is one JSON value of a request or resource: a tree without maps, so that order is kept
// and no key of a client becomes a field of ours. The zero Value is null.
type Value struct {
	Kind    Kind
	Bool    bool     // Kind Bool
	Text    string   // String: the text; Number: the literal as it was sent
	Elems   []Value  // Array
	Members []Member // Object, in the order sent
}

// Member is one name and value of an Object.
type Member struct {
	Name  string
	Value Value
}

// Get returns the member whose name equals name by SCIM's rule (ASCII case folding only,
// RFC 7643 section 2.1), and whether there is one.
func (v Value) Get(name string) (Value, bool) {
	for i := range v.Members {
		if equalFold(v.Members[i].Name, name) {
			return v.Members[i].Value, true
		}
	}
	return Value{}, false
}

// boolean returns the truth value of v: a boolean, or "true" or "false" in any case, which
// clients send as strings.
func (v Value) boolean() (b, ok bool) {
	switch {
	case v.Kind == Bool:
		return v.Bool, true
	case v.Kind == String && equalFold(v.Text, "true"):
		return true, true
	case v.Kind == String && equalFold(v.Text, "false"):
		return false, true
	}
	return false, false
}

// empty reports whether v holds nothing: null, "", or a list or object of such values only. It is
// the opposite of the filter operator pr.
func (v Value) empty() bool {
	switch v.Kind {
	case Null:
		return true
	case String:
		return v.Text == ""
	case Array:
		for i := range v.Elems {
			if !v.Elems[i].empty() {
				return false
			}
		}
		return true
	case Object:
		for i := range v.Members {
			if !v.Members[i].Value.empty() {
				return false
			}
		}
		return true
	}
	return false
}

// equalFold compares two names by ASCII case folding alone: U+017F is not s, U+212A is not k.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if 'A' <= x && x <= 'Z' {
			x += 'a' - 'A'
		}
		if 'A' <= y && y <= 'Z' {
			y += 'a' - 'A'
		}
		if x != y {
			return false
		}
	}
	return true
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. It escapes what JSON demands, and U+2028 and U+2029,
// which would end a line where JSON is read as JavaScript. Bytes that are not UTF-8 become U+FFFD,
// so the result is always valid JSON.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\b':
				dst = append(dst, '\\', 'b')
			case '\f':
				dst = append(dst, '\\', 'f')
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\ufffd"...)
		case r == '\u2028':
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\u2028`...)
		case r == '\u2029':
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\u2029`...)
		default:
			i += n
			continue
		}
		i += n
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendValue appends v as compact JSON, members in their order.
func appendValue(dst []byte, v Value) []byte {
	switch v.Kind {
	case Bool:
		if v.Bool {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case Number:
		return append(dst, v.Text...)
	case String:
		return appendString(dst, v.Text)
	case Array:
		dst = append(dst, '[')
		for i := range v.Elems {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, v.Elems[i])
		}
		return append(dst, ']')
	case Object:
		dst = append(dst, '{')
		for i := range v.Members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, v.Members[i].Name)
			dst = append(dst, ':')
			dst = appendValue(dst, v.Members[i].Value)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

// A tree may take so many times the memory of its text, and any text may have a tree of the
// floor. Requests of clients stay far below; `[{},{},…` would take 24 times its size.
const (
	treeFactor = 12
	treeFloor  = 1 << 20
)

// parseJSON reads one JSON text (RFC 8259) strictly: members whose names differ by ASCII case at
// most, data after the value, text that is not UTF-8, lone surrogates, NUL and nesting deeper
// than maxDepth are refused, so that no two readers of a body can understand it differently.
//
// The text is checked once, before anything is built, and sizes are counted on the way; the tree
// then takes three allocations and never more than treeFactor times the text. All strings of the
// tree share one copy of the text, so one that is kept keeps that copy.
func parseJSON(data []byte, maxDepth int) (Value, error) {
	if !utf8.Valid(data) {
		at := 0
		for at < len(data) {
			if r, n := utf8.DecodeRune(data[at:]); r == utf8.RuneError && n == 1 {
				break
			} else {
				at += n
			}
		}
		return Value{}, invalidSyntax("The body is not UTF-8: byte %d.", at+1)
	}
	v, err := parseText(string(data), maxDepth, false)
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

// decodeRaw decodes JSON that appendValue wrote; damaged bytes give null. The result does not
// refer to raw.
func decodeRaw(raw []byte) Value {
	v, _ := parseText(string(raw), storedDepth, true)
	return v
}

// aliasRaw is decodeRaw without the copy: the result is valid only while raw is, and unchanged.
func aliasRaw(raw []byte) Value {
	if n := len(raw); n > 1 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		return Value{Kind: String, Text: unsafeString(raw[1 : n-1])} // the usual case, quickly
	}
	v, _ := parseText(unsafeString(raw), storedDepth, true)
	return v
}

// storedDepth bounds the recursion on stored bytes; what is stored came through a lower limit.
const storedDepth = 64

func parseText(text string, maxDepth int, trusted bool) (Value, *Error) {
	c := checker{text: text, maxDepth: maxDepth, trusted: trusted,
		room: max(treeFloor, treeFactor*len(text))}
	if trusted {
		c.room = math.MaxInt
	}
	if err := c.document(); err != nil {
		return Value{}, err
	}
	b := builder{text: text, kids: c.kids}
	if c.elems > 0 {
		b.elems = make([]Value, c.elems)
	}
	if c.members > 0 {
		b.members = make([]Member, c.members)
	}
	return b.value(), nil
}

// checker decides whether a text is acceptable and counts what its tree needs.
type checker struct {
	text     string
	pos      int
	depth    int
	maxDepth int
	trusted  bool     // we wrote the text: no search for duplicates
	room     int      // memory that the tree may still need
	nested   int      // lists and objects so far
	kids     counts   // children of each of them
	elems    int      // elements of all lists
	members  int      // members of all objects
	names    []string // names of the members of the open objects
}

// counts are the numbers of children of the lists and objects of a text, in the order in which
// they open. Those of a user fit in without an allocation.
type counts struct {
	first [24]uint32
	more  []uint32
}

func (c *counts) of(id int) *uint32 {
	if id < len(c.first) {
		return &c.first[id]
	}
	if id -= len(c.first); id == len(c.more) {
		c.more = append(c.more, 0)
	}
	return &c.more[id]
}

func (c *checker) fail(what string) *Error {
	return invalidSyntax("The body is not valid JSON: %s at byte %d.", what, c.pos+1)
}

func (c *checker) document() *Error {
	if strings.HasPrefix(c.text, "\ufeff") {
		return c.fail("byte order mark")
	}
	c.space()
	if c.pos == len(c.text) {
		return invalidSyntax("The body is empty.")
	}
	if err := c.value(); err != nil {
		return err
	}
	c.space()
	if c.pos < len(c.text) {
		return c.fail("data after the value")
	}
	return nil
}

func (c *checker) space() {
	for c.pos < len(c.text) {
		switch c.text[c.pos] {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return
		}
	}
}

// next skips space and returns the byte there, 0 at the end: NUL is nowhere allowed.
func (c *checker) next() byte {
	c.space()
	if c.pos == len(c.text) {
		return 0
	}
	return c.text[c.pos]
}

// value checks the value that starts at pos, which is not space.
func (c *checker) value() *Error {
	if c.pos == len(c.text) {
		return c.fail("the end where a value is expected")
	}
	switch b := c.text[c.pos]; {
	case b == '{':
		return c.enter(true)
	case b == '[':
		return c.enter(false)
	case b == '"':
		return c.str()
	case b == 't':
		return c.word("true")
	case b == 'f':
		return c.word("false")
	case b == 'n':
		return c.word("null")
	case b == '-' || '0' <= b && b <= '9':
		return c.number()
	}
	return c.fail("unexpected character")
}

// enter counts the depth before it goes down, so that no text can exhaust the stack.
func (c *checker) enter(object bool) (err *Error) {
	if c.depth == c.maxDepth {
		return invalidSyntax("The body is nested deeper than %d levels at byte %d.", c.maxDepth, c.pos+1)
	}
	c.depth++
	c.pos++
	id := c.nested
	c.nested++
	*c.kids.of(id) = 0
	if object {
		err = c.object(id)
	} else {
		err = c.list(id)
	}
	c.depth--
	return err
}

// charge takes the memory of one more element or member out of what the tree may need.
func (c *checker) charge(size uintptr) *Error {
	if c.room -= int(size); c.room < 0 {
		return invalidSyntax("The body holds too many values for its size.")
	}
	return nil
}

func (c *checker) list(id int) *Error {
	if c.next() == ']' {
		c.pos++
		return nil
	}
	for {
		if err := c.value(); err != nil {
			return err
		}
		*c.kids.of(id)++
		c.elems++
		if err := c.charge(unsafe.Sizeof(Value{})); err != nil {
			return err
		}
		switch c.next() {
		case ',':
			c.pos++
			c.space()
		case ']':
			c.pos++
			return nil
		default:
			return c.fail("neither , nor ] after an element")
		}
	}
}

func (c *checker) object(id int) *Error {
	if c.next() == '}' {
		c.pos++
		return nil
	}
	base := len(c.names)
	var seen map[string]struct{}
	for {
		if c.next() != '"' {
			return c.fail("no name of a member")
		}
		start := c.pos
		if err := c.str(); err != nil {
			return err
		}
		if !c.trusted && !c.unique(unescape(c.text[start+1:c.pos-1]), base, &seen) {
			c.pos = start
			return c.fail("a second member of the same name")
		}
		if c.next() != ':' {
			return c.fail("no : after a name")
		}
		c.pos++
		c.space()
		if err := c.value(); err != nil {
			return err
		}
		*c.kids.of(id)++
		c.members++
		if err := c.charge(unsafe.Sizeof(Member{})); err != nil {
			return err
		}
		switch c.next() {
		case ',':
			c.pos++
		case '}':
			c.pos++
			c.names = c.names[:base]
			return nil
		default:
			return c.fail("neither , nor } after a member")
		}
	}
}

// unique remembers a name of the object whose names start at base and reports whether it is new.
// A few names are compared one by one; many go through a map, so that no body costs the square
// of its size.
func (c *checker) unique(name string, base int, seen *map[string]struct{}) bool {
	const few = 16
	if *seen == nil && len(c.names)-base < few {
		for _, other := range c.names[base:] {
			if equalFold(other, name) {
				return false
			}
		}
		if c.names == nil {
			c.names = make([]string, 0, few)
		}
		c.names = append(c.names, name)
		return true
	}
	if *seen == nil {
		*seen = make(map[string]struct{}, 2*few)
		for _, other := range c.names[base:] {
			(*seen)[lowerASCII(other)] = struct{}{}
		}
	}
	n := len(*seen)
	(*seen)[lowerASCII(name)] = struct{}{}
	return len(*seen) > n
}

// lowerASCII lower-cases A to Z alone: two names are equal under it when equalFold says so.
func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

func (c *checker) word(w string) *Error {
	if !strings.HasPrefix(c.text[c.pos:], w) {
		return c.fail("unknown word")
	}
	c.pos += len(w)
	return nil
}

func (c *checker) number() *Error {
	n := scanNumber(c.text[c.pos:])
	if n == 0 {
		return c.fail("malformed number")
	}
	c.pos += n
	return nil
}

// scanNumber returns the length of the JSON number at the start of s, 0 when there is none.
func scanNumber(s string) int {
	i := 0
	digits := func() bool {
		start := i
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			i++
		}
		return i > start
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	switch {
	case i < len(s) && s[i] == '0':
		i++
		if i < len(s) && '0' <= s[i] && s[i] <= '9' {
			return 0
		}
	case !digits():
		return 0
	}
	if i < len(s) && s[i] == '.' {
		i++
		if !digits() {
			return 0
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	return i
}

// str checks the string that starts at pos.
func (c *checker) str() *Error {
	for i := c.pos + 1; i < len(c.text); i++ {
		switch b := c.text[i]; {
		case b == '"':
			c.pos = i + 1
			return nil
		case b < 0x20:
			c.pos = i
			return c.fail("a control character in a string")
		case b == '\\':
			n, null := scanEscape(c.text[i:])
			c.pos = i
			if null {
				return invalidValue("The body holds a NUL character at byte %d.", i+1)
			}
			if n == 0 {
				return c.fail("malformed escape in a string")
			}
			i += n - 1
		}
	}
	c.pos = len(c.text)
	return c.fail("the end within a string")
}

// scanEscape returns the length of the escape at the start of s, a pair of surrogates being one
// escape, and whether it stands for NUL; 0 when it is malformed or a lone surrogate.
func scanEscape(s string) (n int, null bool) {
	if len(s) < 2 {
		return 0, false
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, false
	case 'u':
		r := hex4(s[2:])
		switch {
		case r < 0:
			return 0, false
		case !utf16.IsSurrogate(r):
			return 6, r == 0
		case len(s) >= 12 && s[6] == '\\' && s[7] == 'u' && utf16.DecodeRune(r, hex4(s[8:])) != utf8.RuneError:
			return 12, false
		}
	}
	return 0, false
}

// hex4 reads four hexadecimal digits, -1 when they are not there.
func hex4(s string) rune {
	if len(s) < 4 {
		return -1
	}
	var r rune
	for i := range 4 {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// unescape returns the text of the inside of a string that str accepted.
func unescape(s string) string {
	first := strings.IndexByte(s, '\\')
	if first < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for first >= 0 {
		b = append(b, s[:first]...)
		s = s[first:]
		n, _ := scanEscape(s)
		if n == 0 {
			break // never in checked text
		}
		switch s[1] {
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r := hex4(s[2:])
			if n == 12 {
				r = utf16.DecodeRune(r, hex4(s[8:]))
			}
			b = utf8.AppendRune(b, r)
		default:
			b = append(b, s[1])
		}
		s = s[n:]
		first = strings.IndexByte(s, '\\')
	}
	return string(append(b, s...))
}

// builder makes the tree of a text that checker accepted; it relies on that and on its counts.
type builder struct {
	text    string
	pos     int
	kids    counts
	opened  int // lists and objects so far
	elems   []Value
	members []Member
}

func (b *builder) space() {
	for b.pos < len(b.text) && b.text[b.pos] <= ' ' {
		b.pos++
	}
}

func (b *builder) value() Value {
	b.space()
	switch b.text[b.pos] {
	case '"':
		return Value{Kind: String, Text: b.str()}
	case '{':
		list := take(&b.members, b.open())
		for i := range list {
			b.space()
			list[i].Name = b.str()
			b.space()
			b.pos++ // the colon
			list[i].Value = b.value()
			b.space()
			b.pos++ // the comma or the brace
		}
		if len(list) == 0 {
			b.space()
			b.pos++
		}
		return Value{Kind: Object, Members: list}
	case '[':
		list := take(&b.elems, b.open())
		for i := range list {
			list[i] = b.value()
			b.space()
			b.pos++
		}
		if len(list) == 0 {
			b.space()
			b.pos++
		}
		return Value{Kind: Array, Elems: list}
	case 't':
		b.pos += len("true")
		return Value{Kind: Bool, Bool: true}
	case 'f':
		b.pos += len("false")
		return Value{Kind: Bool}
	case 'n':
		b.pos += len("null")
		return Value{}
	}
	n := scanNumber(b.text[b.pos:])
	b.pos += n
	return Value{Kind: Number, Text: b.text[b.pos-n : b.pos]}
}

// open enters a list or object and returns the number of its children.
func (b *builder) open() int {
	b.pos++
	b.opened++
	return int(*b.kids.of(b.opened - 1))
}

// take cuts the next n items off a slab; nobody can append over the rest of it.
func take[T any](slab *[]T, n int) []T {
	if n == 0 {
		return nil
	}
	list := (*slab)[:n:n]
	*slab = (*slab)[n:]
	return list
}

func (b *builder) str() string {
	b.pos++
	rest := b.text[b.pos:]
	end := stringEnd(rest)
	b.pos += end + 1
	return unescape(rest[:end])
}

// stringEnd returns the index of the quote that ends a string whose inside starts s, len(s) when
// it is missing.
func stringEnd[T string | []byte](s T) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return len(s)
}

// unsafeString is string(b) without the copy: valid only while b is, and unchanged.
func unsafeString(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // a scan of all resources must not copy each value
}
