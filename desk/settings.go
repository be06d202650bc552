package desk

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// ServerInfo is what whoever runs the program knows of it.
type ServerInfo struct {
	Version    string    `json:"version" doc:"Of the program"`
	Go         string    `json:"go" doc:"What it was built with"`
	URL        string    `json:"url" doc:"By which the server is reached"`
	Data       string    `json:"data" doc:"The folder with everything that is kept"`
	Started    time.Time `json:"started"`
	StoreBytes int64     `json:"storeBytes" doc:"Size of the data on disk"`
	DiskFree   int64     `json:"diskFree" doc:"Bytes that are free where the data lies; -1 where that is not known"`
	DiskSize   int64     `json:"diskSize" doc:"Bytes of the file system where the data lies; -1 where that is not known"`
	Commits    uint64    `json:"commits" doc:"Durable commits since the start"`
	Updates    uint64    `json:"updates" doc:"Changes that those commits carried"`
	Mail       bool      `json:"mail" doc:"Whether mails can be sent"`
	Problem    string    `json:"problem,omitempty" doc:"Why the server takes no requests; absent when it does"`
}

// Setting is one key of the configuration in effect. Secrets are none of them.
type Setting struct {
	Key     string `json:"key" doc:"As in the file"`
	Value   string `json:"value"`
	Default bool   `json:"default" doc:"Whether it is what it would be without a configuration"`
}

// Level says how bad something is.
type Level string

// The levels.
const (
	Good    Level = "good"
	Warning Level = "warn"
	Bad     Level = "bad"
)

// HealthCheck is one thing about the health of the server.
type HealthCheck struct {
	Name  string `json:"name" enum:"store,disk,pulls,credentials,derivations"`
	Level Level  `json:"level" enum:"good,warn,bad"`
	Count int    `json:"count" doc:"How many things are wrong"`
}

// Health is how the server is.
type Health struct {
	Server      ServerInfo     `json:"server"`
	Level       Level          `json:"level" enum:"good,warn,bad" doc:"The worst of the checks"`
	Checks      []HealthCheck  `json:"checks" nullable:"false"`
	Pulls       []PullTrouble  `json:"pulls" nullable:"false" doc:"Environments whose pull needs somebody"`
	PullsWell   int            `json:"pullsWell" doc:"Environments whose pull needs nobody"`
	Endings     []Ending       `json:"endings" nullable:"false" doc:"Credentials and tokens that end within 30 days, or have ended"`
	Sessions    int            `json:"sessions" doc:"People's sessions that are open; at most 10,000 are counted"`
	Derivations int            `json:"derivations" doc:"Changes of settings whose accesses are still being derived"`
	Pushes      []PushesMinute `json:"pushes" nullable:"false" doc:"Changes that directories pushed, for each of the last 60 minutes"`
	PushesFull  bool           `json:"pushesFull" doc:"Whether all of them were counted"`
}

// PullTrouble is an environment whose pull needs somebody.
type PullTrouble struct {
	Environment  Named `json:"environment"`
	Organization Named `json:"organization"`
	Quarantined  bool  `json:"quarantined" doc:"A run waits for a decision"`
	Late         bool  `json:"late" doc:"None has succeeded for three intervals"`
	Failures     int   `json:"failures" doc:"Runs that failed since the last that did not"`
}

// Ending is a credential or a token that ends.
type Ending struct {
	Tenant  Named     `json:"tenant"`
	What    string    `json:"what" enum:"graph,sign-in,token,client" doc:"graph and sign-in: a credential of the application; token: a Secret Token; client: the last secret of an OAuth client"`
	Name    string    `json:"name,omitempty" doc:"Of a token; of a client its id"`
	Expires time.Time `json:"expires"`
	Ended   bool      `json:"ended"`
}

// PushesMinute is how many changes came in one minute.
type PushesMinute struct {
	From  time.Time `json:"from"`
	Count int64     `json:"count"`
}

// SigningKey is a key that signs assertions of who is signed in, without its private part.
type SigningKey struct {
	ID      string     `json:"id" doc:"kid"`
	Created time.Time  `json:"created"`
	From    time.Time  `json:"from" doc:"Signs from then on; it is published before"`
	Until   *time.Time `json:"until,omitempty" doc:"Published until then; absent while it is in use"`
}

// Figures of the health.
const (
	endingNow    = 3 // as ExpiryLevel has it: 7 days
	mostSessions = 10_000
	pushMinutes  = 60
	mostPushes   = 5000 // log lines that are looked at
	diskLow      = 10   // percent
	diskBad      = 3
)

// operators lets operators alone on: what concerns the server as a whole is theirs.
func operators(by directory.Actor) error {
	if by.Role != directory.RoleOperator {
		return fail(directory.Forbidden, "", "this is for operators")
	}
	return nil
}

// Health tells how the server is. Errors: Forbidden for who is no operator.
func (d *Desk) Health(ctx context.Context, by directory.Actor) (Health, error) {
	if err := operators(by); err != nil {
		return Health{}, err
	}
	h := Health{Server: d.Server(ctx), Pulls: []PullTrouble{}, Endings: []Ending{}}
	if err := d.pullHealth(ctx, &h); err != nil {
		return h, err
	}
	now := d.Now()
	err := d.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if h.Sessions, err = sn.LiveSessions(d.Service.SessionNow(), mostSessions); err != nil {
			return err
		}
		if h.Derivations, err = sn.PendingDerivations(); err != nil {
			return err
		}
		tenants, err := sn.Tenants()
		if err != nil {
			return err
		}
		if h.Endings, err = endings(sn, tenants, now); err != nil {
			return err
		}
		h.Pushes, h.PushesFull, err = pushes(sn, tenants, now)
		return err
	})
	h.check(now)
	return h, err
}

// pullHealth tells which pulls need somebody.
func (d *Desk) pullHealth(ctx context.Context, h *Health) error {
	all, err := d.Pull.Status(ctx)
	if err != nil {
		return err
	}
	return d.Service.View(ctx, func(sn *directory.Snapshot) error {
		for _, s := range all {
			trouble := PullTrouble{Environment: Named{s.Environment.ID, s.Environment.Name}, Quarantined: !s.State.Quarantined.IsZero(), Late: s.Late, Failures: s.State.Failures}
			if !trouble.Quarantined && !trouble.Late && trouble.Failures == 0 {
				h.PullsWell++
				continue
			}
			o, err := sn.Organization(s.Environment.OrganizationID)
			if err != nil {
				return err
			}
			trouble.Organization = Named{o.ID, o.Name}
			h.Pulls = append(h.Pulls, trouble)
		}
		return nil
	})
}

// Endings lists what ends within 30 days or has ended, for the log of the server.
func (d *Desk) Endings(ctx context.Context) ([]Ending, error) {
	return view(ctx, d, func(sn *directory.Snapshot) ([]Ending, error) {
		tenants, err := sn.Tenants()
		if err != nil {
			return nil, err
		}
		return endings(sn, tenants, d.Now())
	})
}

// endings lists what ends soon or has ended, the first to end first.
func endings(sn *directory.Snapshot, tenants []*directory.Tenant, now time.Time) ([]Ending, error) {
	all := []Ending{}
	for _, t := range tenants {
		ends, err := endsOf(sn, t.ID, now)
		if err != nil {
			return nil, err
		}
		for _, e := range ends {
			if ExpiryLevel(e.at, now) > 0 {
				all = append(all, Ending{Named{t.ID, t.DisplayName()}, e.kind, e.name, e.at, !now.Before(e.at)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Ending) int { return a.Expires.Compare(b.Expires) })
	return all, nil
}

// pushes counts what directories have pushed, minute by minute, the oldest first. full is false when there were more
// than are looked at.
func pushes(sn *directory.Snapshot, tenants []*directory.Tenant, now time.Time) (all []PushesMinute, full bool, err error) {
	first := now.Truncate(time.Minute).Add(-(pushMinutes - 1) * time.Minute)
	for i := range pushMinutes {
		all = append(all, PushesMinute{From: first.Add(time.Duration(i) * time.Minute)})
	}
	seen := 0
	for _, t := range tenants {
		err = sn.LogTimes(t.ID, func(at time.Time, channel string) bool {
			seen++
			if at.Before(first) || seen > mostPushes {
				return false
			}
			if i := int(at.Sub(first) / time.Minute); channel == "scim" && i < pushMinutes {
				all[i].Count++
			}
			return true
		})
		if err != nil {
			return nil, false, err
		}
	}
	return all, seen <= mostPushes, nil
}

// check judges what was found.
func (h *Health) check(now time.Time) {
	add := func(name string, count int, level Level) {
		h.Checks = append(h.Checks, HealthCheck{name, level, count})
		if rank(level) > rank(h.Level) {
			h.Level = level
		}
	}
	h.Level = Good
	if h.Server.Problem != "" {
		add("store", 1, Bad)
	} else {
		add("store", 0, Good)
	}
	add("disk", 0, diskLevel(h.Server.DiskFree, h.Server.DiskSize))
	add("pulls", len(h.Pulls), levelIf(len(h.Pulls) > 0, Bad))
	ending := Good
	for _, e := range h.Endings {
		level := Warning
		if ExpiryLevel(e.Expires, now) >= endingNow {
			level = Bad
		}
		if rank(level) > rank(ending) {
			ending = level
		}
	}
	add("credentials", len(h.Endings), ending)
	add("derivations", h.Derivations, levelIf(h.Derivations > 0, Warning))
}

func rank(l Level) int { return slices.Index([]Level{Good, Warning, Bad}, l) }

func levelIf(is bool, l Level) Level {
	if is {
		return l
	}
	return Good
}

func diskLevel(free, size int64) Level {
	switch {
	case free < 0 || size <= 0:
		return Good
	case free*100 < size*diskBad:
		return Bad
	case free*100 < size*diskLow:
		return Warning
	}
	return Good
}

// Settings lists the configuration in effect. Errors: Forbidden for who is no operator.
func (d *Desk) Settings(_ context.Context, by directory.Actor) (List[Setting], error) {
	if err := operators(by); err != nil {
		return List[Setting]{}, err
	}
	all, err := d.Configuration()
	slices.SortFunc(all, func(a, b Setting) int { return cmp.Compare(a.Key, b.Key) })
	return List[Setting]{Items: all, Total: int64(len(all))}, err
}

// SigningKeys lists the keys that sign or signed assertions, the newest first. Errors: Forbidden for who is no
// operator.
func (d *Desk) SigningKeys(ctx context.Context, by directory.Actor) (List[SigningKey], error) {
	if err := operators(by); err != nil {
		return List[SigningKey]{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[SigningKey], error) {
		keys, err := sn.SigningKeys()
		out := List[SigningKey]{Items: []SigningKey{}, Total: int64(len(keys))}
		for _, k := range slices.Backward(keys) {
			out.Items = append(out.Items, SigningKey{k.ID, k.Created, k.From, orNil(k.Until)})
		}
		return out, err
	})
}

// RotateSigningKeys makes a new key that signs once everybody has had the time to fetch it. Errors: Forbidden for
// who is no operator.
func (d *Desk) RotateSigningKeys(ctx context.Context, by directory.Actor) (SigningKey, error) {
	if err := operators(by); err != nil {
		return SigningKey{}, err
	}
	id, err := d.RotateKeys(ctx, by)
	if err != nil {
		return SigningKey{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (SigningKey, error) {
		keys, err := sn.SigningKeys()
		i := slices.IndexFunc(keys, func(k directory.SigningKey) bool { return k.ID == id })
		if err != nil || i < 0 {
			return SigningKey{ID: id}, err
		}
		return SigningKey{id, keys[i].Created, keys[i].From, orNil(keys[i].Until)}, nil
	})
}
