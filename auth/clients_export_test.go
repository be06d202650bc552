package auth

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// AskIssuer fetches the keys of an issuer, whatever client names it.
func (c *Clients) AskIssuer(ctx context.Context, address string) error {
	_, err := c.issuer(address).publication(ctx)
	if err != nil {
		return &directory.Error{Kind: directory.Unavailable, Err: err}
	}
	return nil
}

// TestIssuersAreForgotten: what customers name is not kept for ever, nor without a bound.
func TestIssuersAreForgotten(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	c := NewClients(nil, func() time.Time { return now }, nil)
	used := c.issuer("https://used.example")
	for i := range 3 * maxIssuers {
		now = now.Add(time.Second)
		c.issuer(fmt.Sprint("https://issuer.example/", i))
		if len(c.issuers) > maxIssuers {
			t.Fatalf("%d issuers", len(c.issuers))
		}
		if c.issuer("https://used.example") != used {
			t.Fatalf("one that is in use was forgotten after %d others", i)
		}
	}
	if len(c.issuers) != maxIssuers || c.issuers["https://issuer.example/0"] != nil || c.issuers[fmt.Sprint("https://issuer.example/", 3*maxIssuers-1)] == nil {
		t.Errorf("%d issuers, or not the last ones", len(c.issuers))
	}
	now = now.Add(publishedLife)
	c.issuer("https://new.example")
	if len(c.issuers) != 1 {
		t.Errorf("after a day without a question %d issuers are kept", len(c.issuers))
	}
}
