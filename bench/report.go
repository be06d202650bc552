package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Stat sums up repeated measurements.
type Stat struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func newStat(all []float64) Stat {
	all = slices.Sorted(slices.Values(all))
	n := len(all)
	return Stat{Median: (all[(n-1)/2] + all[n/2]) / 2, Min: all[0], Max: all[n-1]}
}

func values(all []Measure, value func(Measure) float64) (list []float64) {
	for _, m := range all {
		list = append(list, value(m))
	}
	return list
}

// Goal is what the median must reach.
type Goal struct {
	Text     string  `json:"text,omitempty"`
	Least    float64 `json:"least,omitempty"`
	Most     float64 `json:"most,omitempty"`
	Unjudged bool    `json:"unjudged,omitempty"` // the sizes of this run are not those of the goal
}

func atLeast(x float64) Goal { return Goal{Text: fmt.Sprintf(">= %g", x), Least: x} }
func atMost(x float64) Goal  { return Goal{Text: fmt.Sprintf("<= %g", x), Most: x} }

// Result is one line of the table.
type Result struct {
	Row       string `json:"row"`
	What      string `json:"what"`
	Unit      string `json:"unit"`
	Ours      Stat   `json:"ours"`
	FloorName string `json:"floorName,omitempty"`
	Floor     *Stat  `json:"floor,omitempty"`
	Ratio     *Stat  `json:"ratio,omitempty"` // of the pairs measured one after the other
	Goal      Goal   `json:"goal,omitzero"`   // of the ratio, or of ours where there is none
	Met       *bool  `json:"met,omitempty"`
	Note      string `json:"note,omitempty"`
}

// compare fills in two sides.
func (r Result) compare(unit string, value func(Measure) float64, ours, floor []Measure) Result {
	a, b := values(ours, value), values(floor, value)
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	f, ratio := newStat(b), newStat(ratios)
	r.Unit, r.Ours, r.Floor, r.Ratio = unit, newStat(a), &f, &ratio
	return r
}

// absolute fills in one side.
func (r Result) absolute(unit string, value func(Measure) float64, ours []Measure) Result {
	r.Unit, r.Ours = unit, newStat(values(ours, value))
	return r
}

// judge decides whether the goal is met.
func (r *Result) judge() {
	if r.Goal.Text == "" || r.Goal.Unjudged {
		return
	}
	x := r.Ours.Median
	if r.Ratio != nil {
		x = r.Ratio.Median
	}
	met := x >= r.Goal.Least && (r.Goal.Most == 0 || x <= r.Goal.Most)
	r.Met = &met
}

// Report is everything that a run has found.
type Report struct {
	Machine string   `json:"machine"`
	Sizes   string   `json:"sizes"`
	Results []Result `json:"results"`
}

func (r *Report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// writeText writes a table that is Markdown as well.
func (r *Report) writeText(w io.Writer) error {
	lines := [][]string{{"Row", "What", "Ours", "Floor", "Ratio", "Goal", "Met"}}
	for _, x := range r.Results {
		line := []string{x.Row, x.What, x.Ours.format(x.Unit), "", "", x.Goal.Text, ""}
		if x.Floor != nil {
			line[3], line[4] = x.FloorName+" "+x.Floor.format(x.Unit), x.Ratio.format("")
		}
		switch {
		case x.Goal.Text == "":
		case x.Met == nil:
			line[6] = "not judged"
		case *x.Met:
			line[6] = "yes"
		default:
			line[6] = "NO"
		}
		lines = append(lines, line)
	}
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, cell := range l {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for i, l := range lines {
		for j, cell := range l {
			fmt.Fprintf(&b, "| %-*s ", width[j], cell)
		}
		b.WriteString("|\n")
		if i == 0 {
			for _, n := range width {
				b.WriteString("|" + strings.Repeat("-", n+2))
			}
			b.WriteString("|\n")
		}
	}
	fmt.Fprintf(&b, "\n%s\n%s\n", r.Machine, r.Sizes)
	for _, x := range r.Results {
		if x.Note != "" {
			fmt.Fprintf(&b, "- %s: %s\n", x.Row, x.Note)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// format writes the median with the least and the most.
func (s Stat) format(unit string) string {
	digits := 2
	switch {
	case s.Median >= 1000:
		digits = 0
	case s.Median >= 10:
		digits = 1
	}
	text := fmt.Sprintf("%.*f", digits, s.Median)
	if unit != "" {
		text += " " + unit
	}
	return fmt.Sprintf("%s (%.*f to %.*f)", text, digits, s.Min, digits, s.Max)
}
