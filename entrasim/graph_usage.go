package entrasim

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// GraphStats are what a [Graph] has done since it was made.
type GraphStats struct {
	Requests        int        // over HTTP
	Operations      map[Op]int // requests by what they asked, those inside of batches too
	Tokens          int        // access tokens issued
	TokensRefused   int        // token requests refused
	Units           int        // resource units charged
	Throttled       int        // requests over the limits, answered 429
	Faults          int        // faults of the script that happened
	Bytes           int64      // of bodies as they were sent, compressed where the client asked for it
	Connections     int        // opened
	OpenConnections int        // open now
}

// String is one line for people: "1,204 requests (members 1,010, token 2, …), 4,040 resource units, …".
func (s GraphStats) String() string {
	ops := slices.SortedFunc(maps.Keys(s.Operations), func(a, b Op) int {
		return cmp.Or(cmp.Compare(s.Operations[b], s.Operations[a]), cmp.Compare(a, b))
	})
	kinds := make([]string, 0, len(ops))
	for _, op := range ops {
		kinds = append(kinds, string(op)+" "+number(s.Operations[op]))
	}
	line := number(s.Requests) + " requests"
	if len(kinds) > 0 {
		line += " (" + strings.Join(kinds, ", ") + ")"
	}
	return fmt.Sprintf("%s, %s resource units, %s throttled, %s tokens issued and %s refused, %s faults, %s sent, %s connections (%s open)",
		line, number(s.Units), number(s.Throttled), number(s.Tokens), number(s.TokensRefused), number(s.Faults), size(s.Bytes),
		number(s.Connections), number(s.OpenConnections))
}

// usage keeps the statistics.
type usage struct {
	connections sync.WaitGroup // those open; none is added when Serve has returned

	mu    sync.Mutex
	stats GraphStats
}

func (u *usage) init() { u.stats.Operations = make(map[Op]int) }

func (u *usage) update(f func(*GraphStats)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f(&u.stats)
}

func (u *usage) operation(op Op) { u.update(func(s *GraphStats) { s.Operations[op]++ }) }

func (u *usage) token(issued bool) {
	u.update(func(s *GraphStats) {
		if issued {
			s.Tokens++
		} else {
			s.TokensRefused++
		}
	})
}

// connection is told of every change by the server: of a new connection before anything is read from it, of its end
// when its last request has been answered.
func (u *usage) connection(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		u.connections.Add(1)
		u.update(func(s *GraphStats) { s.Connections++; s.OpenConnections++ })
	case http.StateClosed, http.StateHijacked:
		u.update(func(s *GraphStats) { s.OpenConnections-- })
		u.connections.Done()
	case http.StateActive, http.StateIdle:
	}
}

// Stats tells what the service has done.
func (g *Graph) Stats() GraphStats {
	var out GraphStats
	g.usage.update(func(s *GraphStats) {
		out = *s
		out.Operations = maps.Clone(s.Operations)
	})
	out.Faults = g.faults.fired()
	return out
}

// window is the time that the limits are given for.
const window = 10 * time.Second

// limit is how many resource units an application may use in a tenant in 10 seconds.
// Source: Microsoft Graph, "Service-specific throttling limits", identity and access.
func limit(users int) float64 {
	switch {
	case users < 50:
		return 3_500
	case users <= 500:
		return 5_000
	}
	return 8_000
}

// cost is what a request uses of the limit, in resource units.
// Source: as for limit.
func (c *call) cost() int {
	units := 1
	switch c.op {
	case OpMembers:
		units = 3
	case OpTransitiveMembers:
		units = 5
	case OpUsers:
		units = 2
	}
	if c.query.Has("$select") {
		units--
	}
	if c.query.Has("$expand") {
		units++
	}
	return max(1, units)
}

// rates throttle: a token bucket for each application, that of the limit refilled evenly over the window.
type rates struct {
	now func() time.Time

	mu      sync.Mutex // guards what follows
	scale   float64    // negative is off
	buckets map[*App]*bucket
}

type bucket struct {
	used float64 // units that have not been refilled yet
	of   float64 // units in a full bucket
	at   time.Time
}

func (r *rates) init(o GraphOptions) {
	r.now = o.Now
	if o.Throttle == 0 {
		o.Throttle = 1
	}
	r.set(o.Throttle)
}

func (r *rates) set(scale float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scale, r.buckets = scale, make(map[*App]*bucket)
}

// take takes units out of the bucket of an application, or tells how long it takes until they are there. One request
// is always let through a full bucket, however much it costs.
func (r *rates) take(a *App, units, users int) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.scale < 0 {
		return 0
	}
	now := r.now()
	b := r.buckets[a]
	if b == nil {
		b = &bucket{at: now}
		r.buckets[a] = b
	}
	b.of = limit(users) * r.scale
	b.used = max(0, b.used-b.of*now.Sub(b.at).Seconds()/window.Seconds())
	b.at = now
	if over := b.used + float64(units) - b.of; over > 0 && b.used > 0 {
		return time.Duration(min(over, b.used) / b.of * float64(window))
	}
	b.used += float64(units)
	return 0
}

// note puts the headers about resource units on an answer.
func (r *rates) note(h http.Header, a *App, units int) {
	h.Set("x-ms-resource-unit", strconv.Itoa(units))
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.buckets[a]; b != nil && b.used >= 0.8*b.of {
		h.Set("x-ms-throttle-limit-percentage", strconv.FormatFloat(b.used/b.of, 'f', 2, 64))
	}
}

// charge takes the units of a request, or refuses it.
func (c *call) charge() (int, *response) {
	units := c.cost()
	wait := c.g.rates.take(c.grant.app, units, c.g.tenant.size())
	if wait == 0 {
		c.g.usage.update(func(s *GraphStats) { s.Units += units })
		return units, nil
	}
	c.g.usage.update(func(s *GraphStats) { s.Throttled++ })
	a := c.tooMany(strconv.Itoa(max(1, int(math.Ceil(wait.Seconds())))))
	a.header.Set("x-ms-throttle-information", "ResourceUnitLimitExceeded")
	a.header.Set("x-ms-throttle-scope", fmt.Sprintf("Tenant_Application/ReadWrite/%s/%s", c.grant.app.id, c.g.tenant.ID()))
	return 0, a
}

func (c *call) tooMany(retryAfter string) *response {
	a := c.fail(http.StatusTooManyRequests, "TooManyRequests", "Too many requests. Please retry after the time that Retry-After gives.")
	if retryAfter != "" {
		a.header.Set("Retry-After", retryAfter)
	}
	return a
}
