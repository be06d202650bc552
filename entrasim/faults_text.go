package entrasim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseFaults reads a fault script: one rule a line, lines that start with # and empty ones left out. A rule is where
// and when, then what goes wrong:
//
//	members#2 short=10                      the second read of members lacks 10 of its objects
//	* every=50 status=503 retry-after=1     each 50th request
//	members p=0.02 cut                      two in a hundred pages of members break off
//	transitiveMembers page=3+ null-properties times=4
//	/groups/*/members status=200 body={"value":null}
//	token#1 delay=2s
//
// Where is an operation (see [Op]), a pattern for the path or *. The words stand at the fields of [Fault]. A value with
// spaces, or a quotation mark as its first character, is written as a string of Go: header="Location: https://x.example".
// The error names the line.
func ParseFaults(script string) ([]Fault, error) {
	var out []Fault
	n := 0
	for line := range strings.Lines(script) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f, err := parseFault(line)
		if err == nil {
			err = f.check()
		}
		if err != nil {
			return nil, fmt.Errorf("fault script, line %d: %w", n, err)
		}
		out = append(out, f)
	}
	return out, nil
}

func parseFault(line string) (Fault, error) {
	words, err := splitWords(line)
	if err != nil {
		return Fault{}, err
	}
	var f Fault
	on, nth, counted := strings.Cut(words[0].name, "#")
	if words[0].hasValue || on == "" {
		return f, fmt.Errorf("%q is no operation", words[0].name)
	}
	f.On = on
	if counted {
		if err := nthOf(&f.Nth, &f.From, nth); err != nil {
			return f, fmt.Errorf("#%s: %w", nth, err)
		}
	}
	seen := make(map[string]bool)
	for _, w := range words[1:] {
		d := faultWords.find(w.name)
		switch {
		case d == nil:
			return f, fmt.Errorf("unknown word %q", w.name)
		case seen[w.name] && !d.repeats:
			return f, fmt.Errorf("%s comes twice", w.name)
		case !w.hasValue && !d.bare, w.hasValue && d.set == nil:
			return f, fmt.Errorf("%s: a value is missing, or too much", w.name)
		}
		seen[w.name] = true
		if err := d.apply(&f, w); err != nil {
			return f, fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return f, nil
}

// nthOf reads "3" into exact or "3+" into from.
func nthOf(exact, from *int, s string) error {
	digits, onward := strings.CutSuffix(s, "+")
	n, err := strconv.Atoi(digits)
	switch {
	case err != nil || n < 1:
		return errors.New("want a number from 1, or such a number and +")
	case onward:
		*from = n
	default:
		*exact = n
	}
	return nil
}

type scriptWord struct {
	name, value string
	hasValue    bool
}

// splitWords splits at spaces outside of strings.
func splitWords(line string) ([]scriptWord, error) {
	var out []scriptWord
	for rest := strings.TrimLeft(line, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		end := strings.IndexAny(rest, "= \t")
		if end < 0 {
			end = len(rest)
		}
		w := scriptWord{name: rest[:end]}
		rest = rest[end:]
		if strings.HasPrefix(rest, "=") {
			w.hasValue = true
			rest = rest[1:]
			if strings.HasPrefix(rest, `"`) {
				quoted, err := strconv.QuotedPrefix(rest)
				if err != nil {
					return nil, fmt.Errorf("%s: a string does not end", w.name)
				}
				rest = rest[len(quoted):]
				if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
					return nil, fmt.Errorf("%s: %q after the string", w.name, rest)
				}
				w.value, err = strconv.Unquote(quoted)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", w.name, err)
				}
			} else {
				end := strings.IndexAny(rest, " \t")
				if end < 0 {
					end = len(rest)
				}
				w.value, rest = rest[:end], rest[end:]
			}
		}
		out = append(out, w)
	}
	return out, nil
}

// definition is one word of the script.
type definition struct {
	name    string
	bare    bool // may stand without a value
	repeats bool
	set     func(*Fault, string) error // with a value; nil when it never has one
	on      func(*Fault)               // without a value
	show    func(Fault) []string       // the values of a fault, none when the word is not in it; "" for a bare word
}

func (d *definition) apply(f *Fault, w scriptWord) error {
	if !w.hasValue {
		d.on(f)
		return nil
	}
	return d.set(f, w.value)
}

type vocabulary []*definition

func (v vocabulary) find(name string) *definition {
	for _, d := range v {
		if d.name == name {
			return d
		}
	}
	return nil
}

var faultWords = vocabulary{
	countWord("every", func(f *Fault) *int { return &f.Every }),
	fractionWord("p", func(f *Fault) *float64 { return &f.Probability }, 0),
	{name: "page", set: func(f *Fault, s string) error { return nthOf(&f.Page, &f.FromPage, s) }, show: func(f Fault) []string {
		switch {
		case f.Page > 0:
			return []string{strconv.Itoa(f.Page)}
		case f.FromPage > 0:
			return []string{strconv.Itoa(f.FromPage) + "+"}
		}
		return nil
	}},
	countWord("times", func(f *Fault) *int { return &f.Times }),
	countWord("status", func(f *Fault) *int { return &f.Status }),
	textWord("retry-after", func(f *Fault) *string { return &f.RetryAfter }),
	textWord("body", func(f *Fault) *string { return &f.Body }),
	flagWord("empty", func(f *Fault) *bool { return &f.Empty }),
	flagWord("html", func(f *Fault) *bool { return &f.HTML }),
	flagWord("expired-token", func(f *Fault) *bool { return &f.PageToken }),
	countWord("short", func(f *Fault) *int { return &f.Short }),
	flagWord("duplicate", func(f *Fault) *bool { return &f.Duplicate }),
	flagWord("null-item", func(f *Fault) *bool { return &f.NullItem }),
	flagWord("null-properties", func(f *Fault) *bool { return &f.NullProperties }),
	flagWord("missing-id", func(f *Fault) *bool { return &f.MissingID }),
	textWord("wrong-type", func(f *Fault) *string { return &f.WrongType }),
	textWord("odata-type", func(f *Fault) *string { return &f.ODataType }),
	flagWord("drop-next", func(f *Fault) *bool { return &f.DropNext }),
	textWord("next", func(f *Fault) *string { return &f.Next }),
	{name: "huge", set: func(f *Fault, s string) (err error) {
		if f.Huge, err = parseSize(s); err == nil && f.Huge == 0 {
			err = errors.New("want a size from 1B")
		}
		return err
	}, show: func(f Fault) []string {
		if f.Huge == 0 {
			return nil
		}
		return []string{strconv.FormatInt(f.Huge, 10)}
	}},
	fractionWord("truncate", func(f *Fault) *float64 { return &f.Truncate }, 0.5),
	flagWord("bom", func(f *Fault) *bool { return &f.BOM }),
	countWord("nest", func(f *Fault) *int { return &f.Nest }),
	textWord("content-type", func(f *Fault) *string { return &f.ContentType }),
	{name: "header", repeats: true, set: func(f *Fault, s string) error { f.Header = append(f.Header, s); return nil },
		show: func(f Fault) []string { return f.Header }},
	{name: "delay", set: func(f *Fault, s string) (err error) {
		if f.Delay, err = time.ParseDuration(s); err == nil && f.Delay <= 0 {
			err = errors.New("want a time above 0")
		}
		return err
	}, show: func(f Fault) []string {
		if f.Delay == 0 {
			return nil
		}
		return []string{f.Delay.String()}
	}},
	countWord("rate", func(f *Fault) *int { return &f.Rate }),
	fractionWord("cut", func(f *Fault) *float64 { return &f.Cut }, 0.5),
	flagWord("chunked", func(f *Fault) *bool { return &f.Chunked }),
	flagWord("reset", func(f *Fault) *bool { return &f.Reset }),
}

func flagWord(name string, field func(*Fault) *bool) *definition {
	return &definition{name: name, bare: true, on: func(f *Fault) { *field(f) = true }, show: func(f Fault) []string {
		if *field(&f) {
			return []string{""}
		}
		return nil
	}}
}

func countWord(name string, field func(*Fault) *int) *definition {
	set := func(f *Fault, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("%q, want a number from 1", s)
		}
		*field(f) = n
		return nil
	}
	return &definition{name: name, set: set, show: func(f Fault) []string {
		if n := *field(&f); n != 0 {
			return []string{strconv.Itoa(n)}
		}
		return nil
	}}
}

func textWord(name string, field func(*Fault) *string) *definition {
	set := func(f *Fault, s string) error {
		if s == "" {
			return errors.New("want a value")
		}
		*field(f) = s
		return nil
	}
	return &definition{name: name, set: set, show: func(f Fault) []string {
		if s := *field(&f); s != "" {
			return []string{s}
		}
		return nil
	}}
}

// fractionWord is a number between 0 and 1, which the word has by itself when usual is not 0.
func fractionWord(name string, field func(*Fault) *float64, usual float64) *definition {
	set := func(f *Fault, s string) error {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || !(x > 0 && x <= 1) { // NaN must not pass
			return fmt.Errorf("%q, want a number between 0 and 1", s)
		}
		*field(f) = x
		return nil
	}
	return &definition{name: name, bare: usual > 0, set: set, on: func(f *Fault) { *field(f) = usual }, show: func(f Fault) []string {
		if x := *field(&f); x != 0 {
			return []string{strconv.FormatFloat(x, 'g', -1, 64)}
		}
		return nil
	}}
}

// String is the text form, which [ParseFaults] reads. Do is not in it.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.On)
	if f.On == "" {
		b.WriteString("*")
	}
	switch {
	case f.Nth != 0:
		fmt.Fprintf(&b, "#%d", f.Nth)
	case f.From != 0:
		fmt.Fprintf(&b, "#%d+", f.From)
	}
	for _, d := range faultWords {
		for _, value := range d.show(f) {
			b.WriteString(" " + d.name)
			switch {
			case value == "":
			case value[0] == '"' || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
				b.WriteString("=" + strconv.Quote(value))
			default:
				b.WriteString("=" + value)
			}
		}
	}
	return b.String()
}
