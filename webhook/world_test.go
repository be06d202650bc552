package webhook_test

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/app/apptest"
)

// received is one request that an endpoint got.
type received struct {
	header http.Header
	body   []byte
}

// message is what an endpoint reads.
type message struct {
	Type string    `json:"type"`
	Time time.Time `json:"timestamp"`
	Data struct {
		Account  string `json:"accountId"`
		Accesses []struct {
			Account     string `json:"accountId"`
			Environment string `json:"environmentId"`
			Effect      string `json:"effect"`
		} `json:"accesses"`
		User *struct {
			Name string `json:"name"`
		} `json:"user"`
		Tenant *struct {
			Name string `json:"name"`
		} `json:"tenant"`
	} `json:"data"`
}

// receiver is an endpoint over TLS.
type receiver struct {
	testing.TB
	*httptest.Server
	got chan received
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{TB: t, got: make(chan received, 1000)}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusNoContent)
		r.got <- received{q.Header, body}
	}))
	t.Cleanup(r.Close)
	return r
}

// next is the next request, checked with the library of Standard Webhooks.
func (r *receiver) next(secrets ...string) (received, message) {
	r.Helper()
	select {
	case q := <-r.got:
		var m message
		if err := json.Unmarshal(q.body, &m); err != nil {
			r.Fatal(err)
		}
		for _, s := range secrets {
			wh, err := standardwebhooks.NewWebhook(s)
			if err != nil {
				r.Fatal(err)
			}
			if err := wh.VerifyIgnoringTimestamp(q.body, q.header); err != nil {
				r.Errorf("%v\n%v", err, q.header)
			}
		}
		return q, m
	case <-time.After(time.Minute):
		r.Fatal("nothing came")
	}
	panic("unreachable")
}

// caFile trusts the receiver.
func (r *receiver) caFile() string {
	r.Helper()
	file := filepath.Join(r.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}), 0o600); err != nil {
		r.Fatal(err)
	}
	return file
}

// newWorld is a server that may reach the receiver.
func newWorld(t testing.TB, r *receiver) *apptest.World {
	return apptest.New(t, func(c *app.Config) {
		c.CAFile = r.caFile()
		c.Webhooks.AllowPrivate = []string{"127.0.0.1"}
	})
}

// tick lets others work for a moment.
func tick() { time.Sleep(5 * time.Millisecond) }
