package directory_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// BenchmarkCheckSession is what every request of somebody who is signed in costs: a person with three
// environments, each of which syncs ten groups; the person is in the last one.
func BenchmarkCheckSession(b *testing.B) {
	for _, groups := range []int{1, 10} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			store := openStore(b, b.TempDir()+"/directory.db")
			defer func() { _ = store.Close() }()
			w := worldOn(b.Context(), b, store, directory.Limits{})
			w.svc = directory.New(store.Store, directory.Options{Now: w.clock.Now, NewID: w.newID, Normalize: compose})
			org := w.org("Fjord")
			tenant := w.tenant("fjord", org)
			ada := w.createUser(tenant, person("ada", 1))
			for e := range 3 {
				var objects []string
				for g := range groups {
					n := 100 + 10*e + g
					objects = append(objects, object(n))
					var members []directory.ID
					if g == groups-1 {
						members = append(members, ada.ID)
					}
					w.createGroup(tenant, fmt.Sprint("Group ", n), object(n), members...)
				}
				w.integrate(w.env(org, fmt.Sprint("env", e)), tenant, objects...)
			}
			hash := secretHash(w.signIn(ada.AccountID))
			b.ReportAllocs()
			for b.Loop() {
				p, err := w.svc.CheckSession(w.ctx, hash, time.Time{})
				if err != nil || len(p.Accesses) != 3 {
					b.Fatalf("%+v, %v", p, err)
				}
			}
		})
	}
}
