package console

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/bizzstream/bizzscim/directory"
)

// maxExport is the most lines of one export.
const maxExport = 100_000

// exportWrite is how long one part of an export may take to be written.
const exportWrite = 30 * time.Second

// exportTime is how long all of an export may take: whoever reads slowly holds it no longer.
const exportTime = 10 * time.Minute

// download begins the answer with a file: name must be of our own making. It returns where the file goes, with a time
// limit for each part of it and for the whole.
func (v *visit) download(name, kind string) io.Writer {
	h := v.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	return &downloadWriter{v.w, http.NewResponseController(v.w), time.Now().Add(exportTime)}
}

type downloadWriter struct {
	w       io.Writer
	control *http.ResponseController
	until   time.Time
}

func (d *downloadWriter) Write(p []byte) (int, error) {
	now := time.Now()
	if !now.Before(d.until) {
		return 0, os.ErrDeadlineExceeded
	}
	limit := now.Add(exportWrite)
	if limit.After(d.until) {
		limit = d.until
	}
	_ = d.control.SetWriteDeadline(limit) // not every writer of a test has one
	return d.w.Write(p)
}

// mayExport takes a place for a file that is handed over; leave gives it back.
func (c *Console) mayExport(v *visit) (leave func(), err error) {
	leave, err = c.config.Desk.Export(c.by(v))
	return leave, busy(err)
}

// busy makes a page of its own of the error of somebody who has too much made at once.
func busy(err error) error {
	if directory.KindOf(err) == directory.RateLimited {
		return &notice{status: http.StatusTooManyRequests, key: "busy", wait: waitOf(err)}
	}
	return err
}

// exportBroke ends an answer that has begun: it must not look whole. Who may have it no more, or takes too long, is no fault of ours.
func (c *Console) exportBroke(v *visit, err error) {
	if v.r.Context().Err() == nil && !sightLost(err) && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.config.Log.Error("export failed", "request_id", c.config.RequestID(v.r), "error", err)
	}
	panic(http.ErrAbortHandler)
}

// Content types of exports.
const (
	typeCSV  = "text/csv; charset=utf-8"
	typeJSON = "application/json"
	typeJOSE = "application/jose"
)

// csvWriter writes comma-separated values (RFC 4180) for spreadsheets: in UTF-8 with the mark by which they know it, and
// with no cell that a spreadsheet takes for a formula.
type csvWriter struct{ w *csv.Writer }

func newCSV(w io.Writer) (*csvWriter, error) {
	_, err := io.WriteString(w, "\ufeff")
	c := &csvWriter{csv.NewWriter(w)}
	c.w.UseCRLF = true
	return c, err
}

// row writes one row.
func (c *csvWriter) row(cells ...string) error {
	safe := make([]string, len(cells))
	for i, cell := range cells {
		safe[i] = csvCell(cell)
	}
	return c.w.Write(safe)
}

// flush hands on what has been written.
func (c *csvWriter) flush() error {
	c.w.Flush()
	return c.w.Error()
}

// csvCell makes a text of a cell that a spreadsheet might calculate (OWASP, CSV Injection): an apostrophe before it. Blanks
// and invisible signs before the sign that begins a formula hide it from nobody but the reader.
func csvCell(cell string) string {
	if cell == "" {
		return cell
	}
	first := strings.TrimLeftFunc(cell, func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || unicode.IsControl(r) })
	switch {
	case strings.ContainsRune("\t\r\n\x00", rune(cell[0])),
		first != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(first)[0]):
		return "'" + cell
	}
	return cell
}

// jsonList writes an object whose one list is written item by item: {"items":[...], and what end says}.
type jsonList struct {
	w     io.Writer
	begun bool
}

func (l *jsonList) item(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	before := ",\n"
	if !l.begun {
		before, l.begun = "{\"items\":[\n", true
	}
	_, err = io.WriteString(l.w, before+string(text))
	return err
}

// end closes the list; cut says that there is more than the export holds.
func (l *jsonList) end(cut bool) error {
	text := "\n],\"cut\":false}\n"
	if cut {
		text = "\n],\"cut\":true}\n"
	}
	if !l.begun {
		text = "{\"items\":[" + text
	}
	_, err := io.WriteString(l.w, text)
	return err
}
