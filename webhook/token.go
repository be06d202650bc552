package webhook

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/bizzstream/bizzscim/directory"
)

// Security event tokens are posted as RFC 8935 says: one at a time, and 202 alone says that it has arrived.

// tokenRequest is a message as a security event token, which is signed itself: no secret of the webhook goes along, or whoever may change
// the address would learn what signs JSON messages to the receiver before.
func (f *follower) tokenRequest(ctx context.Context, w *directory.Webhook, m Message) (*request, error) {
	claims, err := json.Marshal(m.Data)
	if err != nil {
		return nil, err
	}
	token, err := f.config.Token(ctx, claims)
	if err != nil {
		return nil, err
	}
	return &request{target: w.URL, body: []byte(token), token: true, header: http.Header{"Content-Type": {"application/secevent+jwt"}, "Accept": {"application/json"}}}, nil
}

// judgeToken makes of an answer what it means for a token, and reports whether the receiver will never take it: the errors of RFC 8935
// section 2.3 say why. Of these invalid_request alone is about the token itself, which would be the same the next time; the others
// (keys, issuer, audience, authentication, access) go away when somebody puts the receiver in order.
func judgeToken(a *Answer) (never bool) {
	switch {
	case a.Error == "" && a.Status != http.StatusAccepted:
		a.Error = "the endpoint answered " + statusText(a.Status) + ": a security event token has arrived when the answer is 202 Accepted"
	case a.Status == http.StatusBadRequest:
		var e struct{ Err, Description string }
		if json.Unmarshal([]byte(a.Text), &e) != nil || e.Err == "" {
			return false
		}
		a.Error = "the receiver refused the token: " + e.Err
		if e.Description != "" {
			a.Error += ": " + e.Description
		}
		return e.Err == "invalid_request"
	}
	return false
}
