package scim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
	"github.com/bizzstream/bizzscim/store/bolt"
)

// BenchmarkGetUser reads one user who is in so many groups, without the network.
func BenchmarkGetUser(b *testing.B) {
	for _, n := range []int{0, 1, 5} {
		for _, nested := range []bool{false, true} {
			b.Run(fmt.Sprintf("groups=%d,nested=%v", n, nested), func(b *testing.B) { benchmarkGetUser(b, n, nested) })
		}
	}
}

func benchmarkGetUser(b *testing.B, n int, nested bool) {
	file := must(bolt.Open(filepath.Join(b.TempDir(), "scim.db"), bolt.Options{}))
	b.Cleanup(func() { _ = file.Close() })
	clock := newClock()
	ids := &server{}
	svc := directory.New(file, directory.Options{Now: clock.Now, NewID: ids.newID, Normalize: norm.NFC.String})
	tenant := must(svc.CreateTenant(b.Context(), operator, directory.Tenant{Name: "alpha"}))
	secret := auth.NewSecret()
	must(svc.CreateToken(b.Context(), operator, tenant.ID, directory.NewToken{Hash: secret.Hash, Hint: secret.Hint}))
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
	user := must(svc.CreateUser(b.Context(), push, tenant.ID, directory.UserInput{Profile: directory.Profile{UserName: "anna", Name: "anna", Active: true},
		Schemas: []byte(`["` + scim.UserURN + `"]`), Attributes: []byte(`{"userName":"anna","active":true}`)}))
	group := func(name string, members ...directory.ID) directory.ID {
		return must(svc.CreateGroup(b.Context(), push, tenant.ID, directory.GroupInput{DisplayName: name,
			Schemas: []byte(`["` + scim.GroupURN + `"]`), Attributes: []byte(`{"displayName":"` + name + `"}`)}, members)).ID
	}
	var direct []directory.ID
	for i := range n {
		direct = append(direct, group(fmt.Sprintf("group %d", i), user.ID))
	}
	if nested {
		group("above", direct...)
	}
	h := scim.NewHandler(scim.Config{Service: svc, Auth: auth.NewBearer(svc, clock.Now), Now: clock.Now,
		Limits: scim.Limits{RequestsPerSecond: directory.MaxRequestsPerSecond, Burst: directory.MaxRequestsPerSecond}})
	r := httptest.NewRequest("GET", "/scim/alpha/v2/Users/"+user.ID.String(), nil)
	r.Header.Set("Authorization", "Bearer "+secret.Text)
	w := &sink{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clock.Advance(1e7)
		w.status = 0
		h.ServeHTTP(w, r)
		if w.status != 200 {
			b.Fatal(w.status)
		}
	}
}

// sink is a client that reads nothing.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
