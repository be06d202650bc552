package entrasim

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"maps"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxDelay  = 10 * time.Minute      // longest that a fault holds an answer up, in all
	drip      = 20 * time.Millisecond // between the pieces of an answer that is sent slowly
	pieceSize = 32 << 10              // bytes; of an answer that does not end
)

var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for unknown levels only
	return z
}}

// send writes an answer, with the faults of the wire.
func (g *Graph) send(w http.ResponseWriter, r *http.Request, a *response) {
	g.usage.update(func(s *GraphStats) { s.Requests++ })
	f := a.wire
	if f.Delay > 0 && sleep(r.Context(), min(f.Delay, maxDelay)) != nil {
		panic(http.ErrAbortHandler) // the client is gone, or the server closes
	}
	if f.Reset {
		reset(w)
		return
	}
	h := w.Header()
	maps.Copy(h, a.header)
	if a.endless != nil {
		w.WriteHeader(a.status)
		g.sendEndless(w, r.Context(), a)
		return
	}
	body := a.body
	if len(body) > 0 {
		h.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
			body = zip(body)
		}
	}
	hasBody := a.status != http.StatusNoContent && a.status != http.StatusNotModified
	if hasBody && !f.Chunked {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(a.status)
	if !hasBody {
		return
	}
	if f.Chunked || f.Cut > 0 {
		flush(w)
	}
	if f.Cut > 0 {
		body = body[:int(float64(len(body))*f.Cut)]
	}
	g.sendBody(w, r.Context(), body, f.Rate)
	if f.Cut > 0 {
		flush(w)
		panic(http.ErrAbortHandler)
	}
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() } // the client may be gone

// sendBody writes a body, at so many bytes a second when rate is set.
func (g *Graph) sendBody(w http.ResponseWriter, ctx context.Context, body []byte, rate int) { //nolint:revive // in the order of net/http
	g.usage.update(func(s *GraphStats) { s.Bytes += int64(len(body)) })
	if rate <= 0 {
		_, _ = w.Write(body)
		return
	}
	piece := max(1, int(float64(rate)*drip.Seconds()))
	pause := max(drip, time.Duration(float64(time.Second)*float64(piece)/float64(rate)))
	for left := maxDelay; len(body) > 0 && left > 0; left -= pause {
		n := min(piece, len(body))
		if _, err := w.Write(body[:n]); err != nil {
			return
		}
		flush(w)
		body = body[n:]
		if len(body) > 0 && sleep(ctx, pause) != nil {
			panic(http.ErrAbortHandler)
		}
	}
	_, _ = w.Write(body)
}

// sendEndless writes a page that goes on and on, up to the size that the fault allows, and ends it properly: a reader
// without a limit of its own takes all of it.
func (g *Graph) sendEndless(w http.ResponseWriter, ctx context.Context, a *response) { //nolint:revive // in the order of net/http
	buf := a.body
	var sent int64
	for n := 1; sent+int64(len(buf)) < a.wire.Huge && ctx.Err() == nil; n++ {
		if buf = a.endless(buf, n); len(buf) < pieceSize {
			continue
		}
		if _, err := w.Write(buf); err != nil {
			return
		}
		sent += int64(len(buf))
		buf = buf[:0]
	}
	buf = append(buf, "]}"...)
	_, _ = w.Write(buf)
	g.usage.update(func(s *GraphStats) { s.Bytes += sent + int64(len(buf)) })
}

func zip(body []byte) []byte {
	var b bytes.Buffer
	z := zippers.Get().(*gzip.Writer) //nolint:forcetypeassert // the pool holds nothing else
	defer zippers.Put(z)
	z.Reset(&b)
	_, _ = z.Write(body) // a buffer takes everything
	_ = z.Close()
	return b.Bytes()
}

// acceptsGzip reads Accept-Encoding (RFC 9110, section 12.5.3).
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		q, ok := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q=")
		if !ok {
			return true
		}
		weight, err := strconv.ParseFloat(q, 64)
		return err == nil && weight > 0 && !math.IsNaN(weight)
	}
	return false
}

// reset breaks the connection with a TCP reset. Note that net/http's client repeats a GET by itself when a connection
// that it had used before breaks without a byte of the answer: such a reset is seen by the server alone.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	raw := conn
	if t, ok := conn.(*tls.Conn); ok {
		raw = t.NetConn()
	}
	if t, ok := raw.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
		_ = t.Close() // before the TLS layer says goodbye
	}
}
