package scim

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/bizzstream/bizzscim/directory"
)

// However many people ask, so many buckets are kept; those who have used theirs up do not get another for it, unless all have.
func TestBucketsOfPeopleAreBounded(t *testing.T) {
	t.Parallel()
	p, now := &people{all: map[directory.ID]*rate.Limiter{}}, time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	person := func(n int) (id directory.ID) {
		binary.BigEndian.PutUint64(id[8:], uint64(n))
		return id
	}
	p.limiter(person(0), now).AllowN(now, personBurst)
	for n := range 2 * maxPeople {
		p.limiter(person(n), now)
	}
	if len(p.all) > maxPeople || p.limiter(person(0), now).AllowN(now, 1) {
		t.Errorf("%d buckets, and one was filled", len(p.all))
	}
	for n := range 2 * maxPeople {
		p.limiter(person(n), now).AllowN(now, 1)
	}
	if len(p.all) > maxPeople {
		t.Errorf("%d buckets", len(p.all))
	}
}
