package directory

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
)

// Indexes that a page of many needs: who administers an environment, and which people of a plan are of a kind or an
// outcome. Each is written where the record is (putAccess, putItem), in the same change; BuildIndexes makes them for
// records that are older than the index.

var (
	tableEnvironmentAdministrator = &Table{Name: "environment_administrator"}             // environment, account
	tableRunItemPlace             = &Table{Name: "pull_run_item_place", Sequential: true} // run, outcome, kind, number; see placeOf
)

var pageTables = []*Table{tableEnvironmentAdministrator, tableRunItemPlace}

// EnvironmentAdministrators lists the accesses to an environment that are an administrator's, active or not.
func (s *Snapshot) EnvironmentAdministrators(environment ID) (all []*Access, err error) {
	accounts, err := keys(s.r, tableEnvironmentAdministrator, Range{Prefix: key(environment)})
	if err != nil {
		return nil, err
	}
	for _, account := range accounts {
		a, err := s.Access(account, environment)
		if err != nil {
			return nil, err
		}
		if a == nil || !a.Administrator {
			return nil, fmt.Errorf("%w: the index of administrators names one who is none", ErrDamaged)
		}
		all = append(all, a)
	}
	return all, nil
}

// hasAdministrator reports whether an environment has an active administrator, other than an account.
func (s *Snapshot) hasAdministrator(environment, other ID) (bool, error) {
	all, err := s.EnvironmentAdministrators(environment)
	return slices.ContainsFunc(all, func(a *Access) bool { return a.Active && a.AccountID != other }), err
}

// indexAdministrator writes the row of an access in the index of administrators, or takes it out.
func (c *change) indexAdministrator(a *Access) error {
	k := key(a.EnvironmentID, a.AccountID)
	if a.Administrator {
		return c.put(row{table: tableEnvironmentAdministrator, key: k})
	}
	return c.w.Delete(tableEnvironmentAdministrator, k)
}

// Outcomes and kinds stand in keys as their place here, from 1; 0 is any other. New ones are added at the end.
var (
	itemOutcomes = []Outcome{OutcomePlanned, OutcomeApplied, OutcomeSkipped, OutcomeWaiting, OutcomeWithheld, OutcomeHeld, OutcomeConflict, OutcomeFailed}
	itemKinds    = []ItemKind{ItemCreate, ItemReattach, ItemUpdate, ItemGrant, ItemReactivate, ItemRevoke, ItemDeactivate, ItemConflict}
)

// placeOf is where the items of an outcome and a kind stand in the index of a run.
func placeOf(run ID, outcome Outcome, kind ItemKind) []byte {
	return append(key(run), byte(slices.Index(itemOutcomes, outcome)+1), byte(slices.Index(itemKinds, kind)+1))
}

func itemPlaceKey(run ID, i *PlanItem) []byte {
	return append(placeOf(run, i.Outcome, i.Kind), sequenceKey(i.Number)...)
}

// putItem writes an item of a plan in place of the one of its number.
func (c *change) putItem(run ID, item *PlanItem) error {
	k := numberKey(run, item.Number)
	before, err := get(c.r, tableRunItems, k, decodeJSON[PlanItem])
	if err != nil {
		return err
	}
	if before != nil && (before.Outcome != item.Outcome || before.Kind != item.Kind) {
		if err := c.w.Delete(tableRunItemPlace, itemPlaceKey(run, before)); err != nil {
			return err
		}
	}
	return c.put(row{tableRunItems, k, encodeJSON(item)}, row{table: tableRunItemPlace, key: itemPlaceKey(run, item)})
}

// SelectItems lists the items of a run's plan beyond the one of that number whose kind and outcome are among those given;
// none given: all. It reads those alone, however many others there are.
func (s *Snapshot) SelectItems(run ID, after uint64, kinds []ItemKind, outcomes []Outcome, fn func(*PlanItem) bool) error {
	if len(kinds) == 0 && len(outcomes) == 0 {
		return s.PlanItems(run, after, fn)
	}
	if len(kinds) == 0 {
		kinds = append([]ItemKind{""}, itemKinds...)
	}
	if len(outcomes) == 0 {
		outcomes = append([]Outcome{""}, itemOutcomes...)
	}
	var places []*itemPlace
	for _, o := range outcomes {
		for _, k := range kinds {
			places = append(places, &itemPlace{prefix: placeOf(run, o, k), after: after})
		}
	}
	for {
		n, err := s.nextItem(places)
		if err != nil || n == 0 {
			return err
		}
		item, err := get(s.r, tableRunItems, numberKey(run, n), decodeJSON[PlanItem])
		if err == nil && item == nil {
			err = fmt.Errorf("%w: the index of a plan names an item that is not there", ErrDamaged)
		}
		if err != nil || !fn(item) {
			return err
		}
	}
}

// itemPlace reads the numbers of the items of one outcome and kind, a few at a time.
type itemPlace struct {
	prefix []byte
	after  uint64
	ahead  []uint64
	part   int
	over   bool
}

func (p *itemPlace) fill(r Reader) error {
	if p.over || len(p.ahead) > 0 {
		return nil
	}
	p.part = min(max(8, 2*p.part), 256)
	err := r.Scan(tableRunItemPlace, Range{Prefix: p.prefix, After: append(bytes.Clone(p.prefix), sequenceKey(p.after)...)}, func(k, _ []byte) bool {
		p.ahead = append(p.ahead, binary.BigEndian.Uint64(k[len(k)-8:]))
		return len(p.ahead) < p.part
	})
	if p.over = len(p.ahead) < p.part; len(p.ahead) > 0 {
		p.after = p.ahead[len(p.ahead)-1]
	}
	return err
}

// nextItem takes the smallest number of all places; 0: there is none.
func (s *Snapshot) nextItem(places []*itemPlace) (n uint64, err error) {
	var from *itemPlace
	for _, p := range places {
		if err := p.fill(s.r); err != nil {
			return 0, err
		}
		if len(p.ahead) > 0 && (from == nil || p.ahead[0] < from.ahead[0]) {
			from = p
		}
	}
	if from == nil {
		return 0, nil
	}
	n, from.ahead = from.ahead[0], from.ahead[1:]
	return n, nil
}

// lateIndex is an index that is younger than its records may be.
type lateIndex struct {
	table *Table
	of    *Table
	row   func(k, value []byte) (index []byte, err error) // nil: the record has no row in the index
}

// lateIndexes are built in this order. Once released, one never changes: another way of indexing is another table.
var lateIndexes = []lateIndex{
	{tableEnvironmentAdministrator, tableAccesses, func(k, value []byte) ([]byte, error) {
		a, err := decodeAccess(toID(k), lastID(k), value)
		if err != nil || !a.Administrator {
			return nil, err
		}
		return key(a.EnvironmentID, a.AccountID), nil
	}},
	{tableRunItemPlace, tableRunItems, func(k, value []byte) ([]byte, error) {
		i, err := decodeJSON[PlanItem](value)
		if err != nil {
			return nil, err
		}
		return itemPlaceKey(toID(k), i), nil
	}},
}

// builtKey names the setting that lists the late indexes that hold all of their records.
var builtKey = []byte("indexes")

// buildRows is how many records one step of BuildIndexes looks at.
const buildRows = 5000

// BuildIndexes fills the indexes that a store of an older version does not have, in small steps. Until it
// has ended once, what they should find is not found: it comes before anything is served. When it is stopped, the next call begins
// anew. Where they are there it reads one row.
func (s *Service) BuildIndexes(ctx context.Context) error {
	for _, x := range lateIndexes {
		var built bool
		if err := s.View(ctx, func(sn *Snapshot) (err error) {
			built, err = sn.built(x.table)
			return err
		}); err != nil {
			return err
		}
		var after []byte
		for !built {
			err := s.update(ctx, Actor{Role: RoleSystem, Channel: "system"}, func(c *change) (err error) {
				after, built, err = c.buildIndex(x, after)
				return err
			})
			if err != nil {
				return fmt.Errorf("directory: build index %s: %w", x.table.Name, err)
			}
		}
	}
	return nil
}

func (s *Snapshot) builtIndexes() ([]string, error) {
	names, err := get(s.r, tableSettings, builtKey, decodeJSON[[]string])
	if err != nil || names == nil {
		return nil, err
	}
	return *names, nil
}

func (s *Snapshot) built(t *Table) (bool, error) {
	names, err := s.builtIndexes()
	return slices.Contains(names, t.Name), err
}

// buildIndex writes the rows of some records beyond a key, and reports whether that was all.
func (c *change) buildIndex(x lateIndex, after []byte) (last []byte, done bool, err error) {
	var rows []row
	var failed error
	n := 0
	err = c.r.Scan(x.of, Range{After: after}, func(k, value []byte) bool {
		var index []byte
		if index, failed = x.row(k, value); failed != nil {
			return false
		}
		if index != nil {
			rows = append(rows, row{table: x.table, key: index})
		}
		n, last = n+1, bytes.Clone(k)
		return n < buildRows
	})
	if err == nil {
		err = failed
	}
	if err == nil {
		err = c.put(rows...)
	}
	if err != nil || n == buildRows {
		return last, false, err
	}
	names, err := c.builtIndexes()
	if err != nil {
		return nil, false, err
	}
	return nil, true, c.put(row{tableSettings, builtKey, encodeJSON(append(names, x.table.Name))})
}
