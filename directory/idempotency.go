package directory

import (
	"context"
	"encoding/binary"
	"time"
)

// Answers to requests that a program may send again by an idempotency key: it gets the first answer, and nothing is
// done twice. An answer is sealed before it comes here: it may hold a secret that is shown once. Of a form of the console
// nothing but that it was done is kept: its token is the session.

// Answer is what a request was answered with.
type Answer struct {
	Fingerprint []byte    `json:"fingerprint"` // SHA-256 of the request
	Sealed      string    `json:"sealed"`
	Expires     time.Time `json:"expires"`
}

// Bounds of kept answers.
const (
	AnswerLife = 24 * time.Hour
	maxAnswers = 10_000 // of one token: then the token has to wait
	prunedOnce = 100    // answers that one writer removes at most
)

var (
	tableIdempotency    = &Table{Name: "idempotency", CountPrefix: 16}      // token, SHA-256 of method, path and key -> Answer
	tableIdempotencyEnd = &Table{Name: "idempotency_end", Sequential: true} // end in ms, token, SHA-256
)

// KeptAnswer returns what a token's request was answered with; nil: nothing that is kept.
func (s *Snapshot) KeptAnswer(token ID, request [32]byte, now time.Time) (*Answer, error) {
	a, err := get(s.r, tableIdempotency, append(key(token), request[:]...), decodeJSON[Answer])
	if err != nil || a == nil || !now.Before(a.Expires) {
		return nil, err
	}
	return a, nil
}

// KeptAnswers counts the answers of a token that are kept.
func (s *Snapshot) KeptAnswers(token ID) (int64, error) { return s.r.Count(tableIdempotency, token[:]) }

// MayKeepAnswer refuses a token of which too many answers are kept. Errors: RateLimited.
func (s *Snapshot) MayKeepAnswer(token ID) error {
	n, err := s.KeptAnswers(token)
	if err == nil && n >= maxAnswers {
		return failf(RateLimited, "", "this token has used %d idempotency keys within 24 hours: wait, or send none", maxAnswers)
	}
	return err
}

// KeepAnswer keeps the answer to a token's request for AnswerLife, and removes some whose time is over.
func (s *Service) KeepAnswer(ctx context.Context, token ID, request, fingerprint [32]byte, sealed string) error {
	return s.update(ctx, Actor{Role: RoleSystem}, func(c *change) error {
		if err := c.pruneAnswers(); err != nil {
			return err
		}
		k, end := append(key(token), request[:]...), c.now.Add(AnswerLife)
		before, err := get(c.r, tableIdempotency, k, decodeJSON[Answer])
		if err != nil {
			return err
		}
		if before != nil {
			if err := c.w.Delete(tableIdempotencyEnd, answerEnd(before.Expires, k)); err != nil {
				return err
			}
		}
		return c.put(row{tableIdempotency, k, encodeJSON(&Answer{fingerprint[:], sealed, end})}, row{table: tableIdempotencyEnd, key: answerEnd(end, k)})
	})
}

func answerEnd(end time.Time, k []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(end.UnixMilli())), k...)
}

func (c *change) pruneAnswers() error {
	var ended [][]byte
	err := c.r.Scan(tableIdempotencyEnd, Range{}, func(k, _ []byte) bool {
		if int64(binary.BigEndian.Uint64(k)) > c.now.UnixMilli() {
			return false
		}
		ended = append(ended, append([]byte(nil), k...))
		return len(ended) < prunedOnce
	})
	if err != nil {
		return err
	}
	for _, k := range ended {
		if err := c.delete(row{table: tableIdempotencyEnd, key: k}, row{table: tableIdempotency, key: k[8:]}); err != nil {
			return err
		}
	}
	return nil
}
