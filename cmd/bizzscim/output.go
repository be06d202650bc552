package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func wantsJSON(cmd *cli.Command) bool { return cmd.String("output") == "json" }

// print writes a value: as one JSON document, or as text does it.
func (p *program) print(cmd *cli.Command, v any, text func(w io.Writer)) error {
	if wantsJSON(cmd) {
		e := json.NewEncoder(p.stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	text(p.stdout)
	return nil
}

// table writes aligned columns. Cells come from directories outside, so nothing of them reaches
// the terminal that could steer it.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, columns ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(columns) > 0 {
		for i, c := range columns {
			columns[i] = strings.ToUpper(c)
		}
		t.line(columns)
	}
	return t
}

func (t *table) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = cell(c)
	}
	t.line(texts)
}

func (t *table) line(cells []string) {
	fmt.Fprintln(t.w, strings.TrimRight(strings.Join(cells, "\t"), "\t "))
}

func (t *table) flush() { _ = t.w.Flush() }

func cell(c any) string {
	switch v := c.(type) {
	case string:
		return orDash(clean(v))
	case time.Time:
		return when(v)
	case *time.Time:
		if v == nil {
			return "-"
		}
		return when(*v)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case int:
		return number(int64(v))
	case int64:
		return number(v)
	case app.Named:
		return orDash(clean(v.Name))
	case *app.Named:
		if v == nil {
			return "-"
		}
		return orDash(clean(v.Name))
	case []app.Named:
		return orDash(clean(strings.Join(namesOf(v), ", ")))
	case []string:
		return orDash(clean(strings.Join(v, ", ")))
	}
	return clean(fmt.Sprint(c))
}

func namesOf(list []app.Named) []string {
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = n.Name
		if n.Name == "" {
			names[i] = n.ID
		}
	}
	return names
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// when writes a time in the zone of the reader.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// number writes n with thousands separators.
func number(n int64) string {
	if n < 0 {
		return strconv.FormatInt(n, 10)
	}
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// clean replaces what a terminal could take for a command, or show in another order than it is.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// more says on w that a list goes on.
func more[T any](w io.Writer, list app.List[T], command string) {
	if list.Next != "" {
		fmt.Fprintf(w, "\nmore: %s --after %s\n", command, list.Next)
	}
}

// pageFlags select a part of a long list.
func pageFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "after", Usage: "start behind this `CURSOR` (next, in the JSON of the page before)"},
		&cli.IntFlag{Name: "limit", Usage: "list `N` at most (up to 1,000)", Value: 100},
	}
}

func pageOf(cmd *cli.Command) app.Page {
	return app.Page{After: cmd.String("after"), Limit: cmd.Int("limit")}
}

func ifSet[T any](cmd *cli.Command, flag string, value T) *T {
	if !cmd.IsSet(flag) {
		return nil
	}
	return &value
}
