package auth

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Bearer checks the tokens of SCIM requests. It asks the store at every request, so that a token
// revoked is refused at once; what it keeps in memory only saves the decoding of records that
// have not changed.
type Bearer struct {
	service *directory.Service
	now     func() time.Time
	tokens  cache[[32]byte, directory.Token]
	tenants cache[directory.ID, directory.Tenant]
	used    chan use
}

type use struct {
	tenant, token directory.ID
	from          string
}

// NewBearer returns a Bearer. Run must run beside it for tokens to show when they were last used.
func NewBearer(service *directory.Service, now func() time.Time) *Bearer {
	return &Bearer{service: service, now: now, used: make(chan use, 256)}
}

var errUnknownToken = &directory.Error{Kind: directory.Unauthorized, Detail: "the bearer token is not valid"}

// Authenticate returns the tenant that a bearer token opens, and the token's id. The tenant is
// shared by all callers and must not be changed; while the record is unchanged it is the same
// pointer. Errors: Unauthorized, the same for a token that is malformed, unknown, ended or revoked.
func (b *Bearer) Authenticate(ctx context.Context, token, from string) (*directory.Tenant, directory.ID, error) {
	if !wellFormed(token, SecretPrefix) && !wellFormed(token, AccessPrefix) {
		return nil, directory.ID{}, errUnknownToken
	}
	hash := Hash(token)
	var t *entry[directory.Token]
	var tenant *entry[directory.Tenant]
	err := b.service.View(ctx, func(sn *directory.Snapshot) error {
		record, err := sn.TokenRecord(hash[:])
		if err != nil || record == nil {
			return err
		}
		if t, err = b.tokens.get(hash, record, directory.DecodeToken); err != nil {
			return err
		}
		tenant, err = b.tenantOf(sn, t.value.TenantID)
		return err
	})
	if err != nil {
		return nil, directory.ID{}, err
	}
	now := b.now()
	if t == nil || tenant == nil || !t.value.Live(now) {
		return nil, directory.ID{}, errUnknownToken
	}
	if minute := now.Unix() / 60; t.noted.Load() != minute && t.value.LastUsed.Unix()/60 != minute {
		t.noted.Store(minute)
		select {
		case b.used <- use{t.value.TenantID, t.value.ID, from}:
		default: // the note is for people; a full queue may lose it
		}
	}
	return tenant.value, t.value.ID, nil
}

// tenantOf returns a tenant as of a snapshot; nil: there is none.
func (b *Bearer) tenantOf(sn *directory.Snapshot, id directory.ID) (*entry[directory.Tenant], error) {
	record, err := sn.TenantRecord(id)
	if err != nil || record == nil {
		return nil, err
	}
	return b.tenants.get(id, record, directory.DecodeTenant)
}

// tenant is the tenant that Authenticate gives for tokens of it; nil: there is none.
func (b *Bearer) tenant(ctx context.Context, id directory.ID) (tenant *directory.Tenant, err error) {
	err = b.service.View(ctx, func(sn *directory.Snapshot) error {
		e, err := b.tenantOf(sn, id)
		if e != nil {
			tenant = e.value
		}
		return err
	})
	return tenant, err
}

// Run notes when tokens were used until ctx ends; report is told of a note that was lost.
func (b *Bearer) Run(ctx context.Context, report func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case u := <-b.used:
			if err := b.service.TouchToken(ctx, u.tenant, u.token, u.from); err != nil && ctx.Err() == nil {
				report(err)
			}
		}
	}
}

// cache keeps decoded records. An entry counts only while the record has the same bytes, so the
// cache can be dropped at any time and never answers for the store.
type cache[K comparable, V any] struct {
	mu      sync.RWMutex
	entries map[K]*entry[V]
}

type entry[V any] struct {
	record []byte
	value  *V
	noted  atomic.Int64
}

const cacheLimit = 4096

func (c *cache[K, V]) get(k K, record []byte, decode func([]byte) (*V, error)) (*entry[V], error) {
	c.mu.RLock()
	e := c.entries[k]
	c.mu.RUnlock()
	if e != nil && bytes.Equal(e.record, record) {
		return e, nil
	}
	v, err := decode(record)
	if err != nil {
		return nil, err
	}
	e = &entry[V]{record: bytes.Clone(record), value: v}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil || len(c.entries) >= cacheLimit {
		c.entries = map[K]*entry[V]{}
	}
	c.entries[k] = e
	return e, nil
}
