package desk

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// AuditFilter selects entries of the audit. Zero fields select all.
type AuditFilter struct {
	Actor    string // part of the id, the name or the address of who did it, without regard to case
	Action   string // of entries: exactly it, or what begins with it and a dot, such as token or token.revoke
	Target   string // part of the target, without regard to case
	From, To time.Time
}

// AuditEntry is one administrative act.
type AuditEntry struct {
	Sequence  uint64          `json:"sequence" doc:"Number, from 1; no number is missing"`
	Time      time.Time       `json:"time"`
	Actor     AuditActor      `json:"actor"`
	Action    string          `json:"action" doc:"Such as tenant.create"`
	Target    string          `json:"target" doc:"Id or name of what it was done to"`
	Name      string          `json:"targetName,omitempty" doc:"Of the account, where the target is one"`
	RequestID string          `json:"requestId,omitempty"`
	Detail    json.RawMessage `json:"detail,omitempty"`
	Hash      string          `json:"hash" doc:"SHA-256 of the entry, which holds that of the one before it"`
}

// AuditActor is who did something.
type AuditActor struct {
	ID      string `json:"id,omitempty" doc:"Account, token, or user of the machine"`
	Name    string `json:"name,omitempty"`
	Role    string `json:"role,omitempty"`
	Channel string `json:"channel"`
	Address string `json:"address,omitempty"`
}

// AuditCheck tells whether the audit is whole.
type AuditCheck struct {
	Whole   bool   `json:"whole" doc:"Every entry is as it was written, and none between the first and the newest is missing"`
	Entries uint64 `json:"entries"`
	Head    string `json:"head,omitempty" doc:"SHA-256 of the newest entry: keep it, and a later check tells whether entries were cut off at the end"`
	Detail  string `json:"detail,omitempty" doc:"What is wrong"`
}

// auditWork is how many entries are looked at for one page, at most.
const auditWork = 5000

// Audit lists the audit, newest first. As for Log, a page may be short and still name a Next. Errors: Forbidden for
// all but an operator; Invalid.
func (d *Desk) Audit(ctx context.Context, by directory.Actor, f AuditFilter, p Page) (List[AuditEntry], error) {
	out := List[AuditEntry]{Items: []AuditEntry{}, Total: -1}
	before, err := sequenceOf(p.After)
	if err == nil && !f.From.IsZero() && !f.To.IsZero() && f.To.Before(f.From) {
		err = fail(directory.Invalid, "to", "the time until which entries are shown is before that from which they are")
	}
	if err != nil {
		return out, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[AuditEntry], error) {
		names, work, last := newNames(sn), auditWork, uint64(0)
		if !f.To.IsZero() {
			n, err := auditWalk(sn, by).before(f.To.Add(logSlack))
			if err != nil {
				return out, err
			}
			if before == 0 || n < before {
				before = n
			}
		}
		var failed error
		err := sn.SeeAudit(by, before, func(e *directory.AuditEntry) bool {
			if !f.From.IsZero() && e.Time.Before(f.From.Add(-logSlack)) {
				return false
			}
			if work == 0 || len(out.Items) == p.limit() {
				out.Next = strconv.FormatUint(last, 10)
				return false
			}
			work, last = work-1, e.Sequence
			entry, err := names.entry(e)
			if err != nil {
				failed = err
				return false
			}
			if f.selects(&entry) {
				out.Items = append(out.Items, entry)
			}
			return true
		})
		return out, errors.Join(failed, err)
	})
}

// auditWalk reads the audit as a log, to find a place in it by time.
func auditWalk(sn *directory.Snapshot, by directory.Actor) logWalk {
	return func(after uint64, _ bool, fn func(*directory.LogEvent) bool) error {
		return sn.SeeAudit(by, after, func(e *directory.AuditEntry) bool {
			return fn(&directory.LogEvent{Sequence: e.Sequence, Time: e.Time})
		})
	}
}

func (f *AuditFilter) selects(e *AuditEntry) bool {
	has := func(part string, in ...string) bool {
		part = directory.FoldCase(strings.TrimSpace(part))
		for _, text := range in {
			if strings.Contains(directory.FoldCase(text), part) {
				return true
			}
		}
		return false
	}
	action := strings.TrimSpace(f.Action)
	return (f.From.IsZero() || !e.Time.Before(f.From)) && (f.To.IsZero() || !e.Time.After(f.To)) &&
		(action == "" || e.Action == action || strings.HasPrefix(e.Action, action+".")) &&
		has(f.Actor, e.Actor.ID, e.Actor.Name, e.Actor.Address) && has(f.Target, e.Target, e.Name)
}

func (n *logNames) entry(e *directory.AuditEntry) (AuditEntry, error) {
	out := AuditEntry{Sequence: e.Sequence, Time: e.Time, Action: e.Action, Target: e.Target, RequestID: e.Actor.RequestID, Detail: e.Detail, Hash: e.Hash,
		Actor: AuditActor{ID: e.Actor.ID, Role: string(e.Actor.Role), Channel: e.Actor.Channel, Address: e.Actor.Address}}
	for _, x := range []struct {
		id   string
		name *string
	}{{e.Actor.ID, &out.Actor.Name}, {e.Target, &out.Name}} {
		id, ok := directory.ParseID(x.id)
		if !ok {
			continue
		}
		who, err := n.account(id) // none for what is no account
		if err != nil {
			return out, err
		}
		*x.name = who.Name
	}
	return out, nil
}

// VerifyAudit walks the whole audit and says whether it is as it was written. Errors: Forbidden for all but an operator.
func (d *Desk) VerifyAudit(ctx context.Context, by directory.Actor) (AuditCheck, error) {
	out, err := view(ctx, d, func(sn *directory.Snapshot) (AuditCheck, error) { return auditHead(sn, by) })
	if err != nil {
		return out, err
	}
	out.Whole = true
	if err := d.Service.VerifyAudit(ctx); err != nil {
		if ctx.Err() != nil || directory.KindOf(err) != directory.Internal || errors.Is(err, directory.ErrDamaged) {
			return out, err
		}
		out.Whole, out.Detail = false, strings.TrimPrefix(err.Error(), "directory: ")
	}
	return out, nil
}

func auditHead(sn *directory.Snapshot, by directory.Actor) (out AuditCheck, err error) {
	err = sn.SeeAudit(by, 0, func(e *directory.AuditEntry) bool {
		out.Entries, out.Head = e.Sequence, e.Hash
		return false
	})
	return out, err
}
