package console

import (
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// However slowly a file is read, it ends.
func TestDownloadsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := httptest.NewRecorder()
		deadlines := &deadlineWriter{ResponseRecorder: w}
		out := (&visit{w: deadlines}).download("x.csv", typeCSV)
		begun := time.Now()
		for range 20 {
			if _, err := io.WriteString(out, "x"); err != nil {
				t.Fatal(err)
			}
			if d := time.Until(deadlines.last); d != min(exportWrite, exportTime-time.Since(begun)) {
				t.Errorf("after %v a write may take %v", time.Since(begun), d)
			}
			time.Sleep(exportTime / 20)
		}
		if _, err := io.WriteString(out, "y"); !errors.Is(err, os.ErrDeadlineExceeded) || w.Body.Len() != 20 {
			t.Errorf("%v, %d bytes", err, w.Body.Len())
		}
	})
}

type deadlineWriter struct {
	*httptest.ResponseRecorder
	last time.Time
}

func (d *deadlineWriter) SetWriteDeadline(t time.Time) error {
	d.last = t
	return nil
}
