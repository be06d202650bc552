package scim

import "testing"

// Every request passes here: what clients send costs no memory.
func TestAcceptableAllocatesNothing(t *testing.T) {
	for _, headers := range [][]string{{"application/scim+json"}, {"application/scim+json, application/json;q=0.9, */*;q=0.1"}, {"text/html", "application/*"}} {
		if n := testing.AllocsPerRun(100, func() { acceptable(headers) }); n > 0 || !acceptable(headers) {
			t.Errorf("%q: %v allocations", headers, n)
		}
	}
}
