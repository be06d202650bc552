package directory_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

// BenchmarkPeople reads one page of 50 out of 100,000 people of one environment.
func BenchmarkPeople(b *testing.B) {
	store := openStore(b, filepath.Join(b.TempDir(), "directory.db"))
	defer store.Close()
	s := sceneOn(worldOn(context.Background(), b, store, directory.Limits{}))
	const people, batch = 100_000, 2000
	for from := 0; from < people; from += batch {
		ids := make([]directory.ID, batch)
		errs := make(chan error, batch)
		for i := range batch {
			go func() {
				u, err := s.svc.CreateUser(s.ctx, push, s.fjord, userInput(person(fmt.Sprintf("user%d", from+i), 1000+from+i)))
				if err == nil {
					ids[i] = u.ID
				}
				errs <- err
			}()
		}
		for range batch {
			if err := <-errs; err != nil {
				b.Fatal(err)
			}
		}
		s.updateGroup(s.pilots, func(m *directory.Membership) error { return m.Add(ids) })
	}
	active, inactive := true, false
	deep := ""
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		n := 0
		return true, sn.EnvironmentAccesses(s.production, true, directory.ID{}, func(id directory.ID) bool {
			n++
			deep = directory.PlaceOf(id)
			return n < people/2
		})
	})
	for _, who := range []struct {
		name string
		by   directory.Actor
	}{{"operator", operator}, {"partner", s.partner()}, {"administrator", administrator(s.production)}} {
		for _, list := range []struct {
			name  string
			f     directory.PeopleFilter
			after string
		}{{"first", directory.PeopleFilter{}, ""}, {"deep", directory.PeopleFilter{}, deep}, {"beginning", directory.PeopleFilter{Text: "user77"}, ""}, {"part", directory.PeopleFilter{Text: "ser777"}, ""},
			{"nobody", directory.PeopleFilter{Text: "nobody"}, ""}, {"active", directory.PeopleFilter{Active: &active}, ""}, {"inactive", directory.PeopleFilter{Active: &inactive}, ""},
			{"internal", directory.PeopleFilter{Internal: true}, ""}, {"tenant", directory.PeopleFilter{TenantID: s.fjord}, ""}, {"environment", directory.PeopleFilter{EnvironmentID: s.production}, deep}} {
			if list.name == "tenant" && who.by.Role == directory.RoleEnvironment {
				continue // of those it sees one by one
			}
			b.Run(who.name+"/"+list.name, func(b *testing.B) {
				for b.Loop() {
					view(s.world, func(sn *directory.Snapshot) (*directory.PeoplePage, error) {
						return sn.SeePeople(who.by, list.f, list.after, 50)
					})
				}
			})
		}
	}
}
