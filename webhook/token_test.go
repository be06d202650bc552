package webhook

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

// TestAnswersToTokens: RFC 8935 sections 2.2 to 2.4.
func TestAnswersToTokens(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer Answer
		never  bool
		want   string // part of the error; empty: it has arrived
	}{
		{"accepted", Answer{Status: 202}, false, ""},
		{"another success", Answer{Status: 200, Text: "<html>Sign in</html>"}, false, "the endpoint answered 200 OK: a security event token has arrived when the answer is 202 Accepted"},
		{"no content", Answer{Status: 204}, false, "204 No Content"},
		{"no token", Answer{Status: 400, Error: "x", Text: `{"err":"invalid_request","description":"no JWT"}`}, true, "the receiver refused the token: invalid_request: no JWT"},
		{"without a description", Answer{Status: 400, Error: "x", Text: `{"err":"invalid_request"}`}, true, "the receiver refused the token: invalid_request"},
		{"a key that it does not know", Answer{Status: 400, Error: "x", Text: `{"err":"invalid_key","description":"kid"}`}, false, "refused the token: invalid_key: kid"},
		{"authentication", Answer{Status: 400, Error: "x", Text: `{"err":"authentication_failed"}`}, false, "authentication_failed"},
		{"audience", Answer{Status: 400, Error: "x", Text: `{"err":"invalid_audience"}`}, false, "invalid_audience"},
		{"an error of its own", Answer{Status: 400, Error: "x", Text: `{"err":"busy"}`}, false, "busy"},
		{"400 without a reason", Answer{Status: 400, Error: "the endpoint answered 400 Bad Request", Text: "Bad Request"}, false, "the endpoint answered 400 Bad Request"},
		{"400 with other JSON", Answer{Status: 400, Error: "the endpoint answered 400 Bad Request", Text: `{"error":"x"}`}, false, "the endpoint answered 400"},
		{"a reason with another status", Answer{Status: 500, Error: "the endpoint answered 500", Text: `{"err":"invalid_request"}`}, false, "the endpoint answered 500"},
		{"no answer", Answer{Error: "the endpoint refuses connections"}, false, "refuses connections"},
	} {
		got := c.answer
		if never := judgeToken(&got); never != c.never || (got.Error == "") != (c.want == "") || !strings.Contains(got.Error, c.want) {
			t.Errorf("%s: %v, %+v", c.name, never, got)
		}
	}
}

// TestNoSecretGoesWithTokens: whoever may change the address would learn what signs to the receiver before.
func TestNoSecretGoesWithTokens(t *testing.T) {
	opened := 0
	f := &follower{Deliverer: &Deliverer{config: Config{
		Open:  func(sealed, _ string) ([]byte, error) { opened++; return []byte(sealed), nil },
		Token: func(context.Context, []byte) (string, error) { return "token", nil }}}}
	for _, url := range []string{"https://hooks.example/x", "http://hooks.example/x"} {
		for _, secrets := range [][]directory.WebhookSecret{nil, {{Sealed: "older", Expires: time.Now().Add(time.Hour)}, {Sealed: "newer"}}} {
			q, err := f.tokenRequest(t.Context(), &directory.Webhook{Format: directory.FormatPush, URL: url, Secrets: secrets}, Message{})
			if err != nil || string(q.body) != "token" || !q.token || q.target != url {
				t.Fatalf("%s: %+v, %v", url, q, err)
			}
			want := http.Header{"Content-Type": {"application/secevent+jwt"}, "Accept": {"application/json"}}
			if diff := cmp.Diff(want, q.header); diff != "" || opened > 0 {
				t.Errorf("%s, %d secrets opened: %s", url, opened, diff)
			}
		}
	}
}
