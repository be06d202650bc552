package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bizzstream/bizzscim/directory"
)

// A POST with an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) is done once: who sends it again within
// 24 hours gets the first answer again. Answers are sealed before they are kept, all of them: some hold a secret that is
// shown once, and nobody has to remember which.

const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	maxKey            = 200
	actLimit          = 2 * time.Minute  // of an act whose caller has gone
	keepLimit         = 10 * time.Second // of keeping its answer
)

// pending are the requests with a key that are under way.
type pending struct {
	mu  sync.Mutex
	all map[[32]byte]bool
}

func (p *pending) begin(k [32]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all[k] {
		return false
	}
	p.all[k] = true
	return true
}

func (p *pending) end(k [32]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, k)
}

// kept is an answer as it is sealed.
type kept struct {
	Status int    `json:"status"`
	Type   string `json:"type"`
	Body   []byte `json:"body"`
}

// once serves a request with a key.
func (h *Handler) once(w http.ResponseWriter, r *http.Request) {
	token, ok := bearerOf(r)
	if !ok { // it is refused by the operation, in its own words
		h.mux.ServeHTTP(w, r)
		return
	}
	by, _, err := h.config.Tokens.Authenticate(r.Context(), token, h.config.Address(r))
	if err != nil {
		h.mux.ServeHTTP(w, r)
		return
	}
	if err := h.limit(w.Header(), by.ID); err != nil { // before the body is read, or anything is replayed
		h.write(w, h.problemOf(h.config.RequestID(r), err))
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), limitedKey{}, true))
	keys := r.Header.Values(idempotencyHeader)
	if len(keys) != 1 || keys[0] == "" || len(keys[0]) > maxKey {
		h.refuse(w, r, http.StatusBadRequest, fmt.Sprintf("Send one Idempotency-Key of 1 to %d characters, such as a UUID.", maxKey))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		status, detail := http.StatusBadRequest, "The body could not be read."
		if large := new(http.MaxBytesError); errors.As(err, &large) {
			status, detail = http.StatusRequestEntityTooLarge, "The body is larger than 1 MiB."
		}
		h.refuse(w, r, status, detail)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	id, _ := directory.ParseID(by.ID)
	request := sha256.Sum256([]byte(by.ID + "\x00" + r.URL.Path + "\x00" + keys[0]))
	fingerprint := sha256.Sum256(append([]byte(r.URL.RawQuery+"\x00"), body...))
	if !h.pending.begin(request) {
		h.refuse(w, r, http.StatusConflict, "A request with this Idempotency-Key is under way. Wait for its answer, or send it again in a moment.")
		return
	}
	defer h.pending.end(request)
	if h.replay(w, r, id, request, fingerprint) {
		return
	}
	h.keep(w, r, id, request, fingerprint)
}

// replay answers as the first time, and reports whether there was one, or an error.
func (h *Handler) replay(w http.ResponseWriter, r *http.Request, token directory.ID, request, fingerprint [32]byte) bool {
	before, err := h.config.Desk.KeptAnswer(r.Context(), token, request)
	switch {
	case err != nil:
		h.write(w, h.problemOf(h.config.RequestID(r), err))
		return true
	case before == nil:
		return false
	case !bytes.Equal(before.Fingerprint, fingerprint[:]):
		h.refuse(w, r, http.StatusUnprocessableEntity, "This Idempotency-Key was used for another request. Use a new one for each thing that is to be done.")
		return true
	}
	var k kept
	if err := json.Unmarshal(before.Plain, &k); err != nil {
		h.write(w, h.problemOf(h.config.RequestID(r), err))
		return true
	}
	if k.Type != "" {
		w.Header().Set("Content-Type", k.Type)
	}
	w.Header().Set(replayedHeader, "true")
	w.WriteHeader(k.Status)
	_, _ = w.Write(k.Body)
	return true
}

// keep serves the request and keeps what it was answered with, unless that says nothing about the request itself. The
// answer is kept before it is sent: who got it can rely on it. A caller that goes away meanwhile stops neither: it would
// send the request again, and have it done twice.
func (h *Handler) keep(w http.ResponseWriter, r *http.Request, token directory.ID, request, fingerprint [32]byte) {
	out := &recorder{header: w.Header(), status: http.StatusOK}
	stays := context.WithoutCancel(r.Context())
	act, end := context.WithTimeout(stays, actLimit)
	defer end()
	h.mux.ServeHTTP(out, r.WithContext(act))
	if done := out.status >= 200 && out.status < 300; done {
		plain, err := json.Marshal(kept{out.status, w.Header().Get("Content-Type"), out.body.Bytes()})
		if err == nil {
			keep, end := context.WithTimeout(stays, keepLimit)
			defer end()
			err = h.config.Desk.KeepAnswer(keep, token, request, fingerprint, plain)
		}
		if err != nil { // it has been done: the answer must reach the caller
			h.config.Log.Error("an answer could not be kept for its idempotency key", "request_id", h.config.RequestID(r), "error", err)
		}
	}
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body.Bytes())
}

// limitedKey marks the context of a request that once has taken of its token's limit already.
type limitedKey struct{}

// recorder holds an answer back.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (o *recorder) Header() http.Header         { return o.header }
func (o *recorder) WriteHeader(status int)      { o.status = status }
func (o *recorder) Write(b []byte) (int, error) { return o.body.Write(b) }

// idempotencyParam is the header as the description has it.
var idempotencyParam = &huma.Param{Name: idempotencyHeader, In: "header", Schema: &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(maxKey)},
	Description: "A text of your own, such as a UUID. Sent again with the same request within 24 hours, the first answer is given again, with " + replayedHeader + ": true, and nothing is done twice.",
	Example:     "7f8d3f5e-9d6b-4c1c-8a8e-0f1f6c1b2a3d"}
