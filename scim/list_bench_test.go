package scim_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
	"github.com/bizzstream/bizzscim/store/bolt"
)

// BenchmarkList reads pages of 100 of many users, as many as BIZZSCIM_BENCH_USERS says (2,000), through the handler
// without a network.
func BenchmarkList(b *testing.B) {
	n := 2000
	if text := os.Getenv("BIZZSCIM_BENCH_USERS"); text != "" {
		n = must(strconv.Atoi(text))
	}
	file := must(bolt.Open(filepath.Join(b.TempDir(), "scim.db"), bolt.Options{}))
	defer file.Close()
	var ids atomic.Uint64
	clock := newClock()
	svc := directory.New(file, directory.Options{Now: clock.Now, Normalize: norm.NFC.String, NewID: func() (id directory.ID) {
		id[0], id[6] = 1, 0x70
		binary.BigEndian.PutUint64(id[8:], 1<<63|ids.Add(1))
		return id
	}})
	tenant := must(svc.CreateTenant(context.Background(), operator, directory.Tenant{Name: "alpha"})).ID
	secret := auth.NewSecret()
	must(svc.CreateToken(context.Background(), operator, tenant, directory.NewToken{Hash: secret.Hash, Hint: secret.Hint}))
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
	var wg sync.WaitGroup
	for worker := range 256 {
		wg.Go(func() {
			for i := worker; i < n; i += 256 {
				name := fmt.Sprintf("user%07d@example.com", (i*7919)%n)
				must(svc.CreateUser(context.Background(), push, tenant, directory.UserInput{Profile: directory.Profile{UserName: name, Name: name, Active: true},
					Schemas: []byte(`["` + scim.UserURN + `"]`), Attributes: fmt.Appendf(nil, `{"externalId":"e%d","userName":%q,"name":{"familyName":"Family%d","givenName":"Given"},`+
						`"displayName":"Person %d","title":"Title %d","emails":[{"value":%q,"type":"work","primary":true}],"active":true}`, i, name, i%5003, i, i%1009, name)}))
			}
		})
	}
	wg.Wait()
	handler := scim.NewHandler(scim.Config{Service: svc, Auth: auth.NewBearer(svc, clock.Now), Now: clock.Now, Log: slog.New(slog.DiscardHandler),
		Limits: scim.Limits{RequestsPerSecond: directory.MaxRequestsPerSecond, Burst: directory.MaxRequestsPerSecond}})
	get := func(b *testing.B, path string) *httptest.ResponseRecorder {
		clock.Advance(1e9) // the limiter
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/scim/alpha/v2"+path, nil)
		r.Header.Set("Authorization", "Bearer "+secret.Text)
		w := httptest.NewRecorder()
		w.Body = bytes.NewBuffer(make([]byte, 0, 128<<10))
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		return w
	}
	cursor := func(b *testing.B, path, at string) string {
		_, text, _ := strings.Cut(get(b, path+"&cursor="+at).Body.String(), `"nextCursor":"`)
		text, _, _ = strings.Cut(text, `"`)
		return text
	}
	deep := func(b *testing.B, path string) string { // the cursor in the middle
		at := ""
		for range n / 2 / 200 {
			at = cursor(b, path+"count=200", at)
		}
		return path + "cursor=" + at
	}
	for _, c := range []struct {
		name string
		path func(b *testing.B) string
	}{
		{"index/first", func(*testing.B) string { return "/Users?count=100" }},
		{"index/deep", func(*testing.B) string { return "/Users?count=100&startIndex=" + strconv.Itoa(n/2) }},
		{"cursor/first", func(*testing.B) string { return "/Users?count=100&cursor" }},
		{"cursor/deep", func(b *testing.B) string { return deep(b, "/Users?") + "&count=100" }},
		{"root/first", func(*testing.B) string { return "/?count=100" }},
		{"filter/userName", func(*testing.B) string { return filtered("/Users", `userName eq "user0000001@example.com"`) }},
		{"filter/scan", func(*testing.B) string { return filtered("/Users", `title co "Title 500"`) }},
		{"sort/userName/first", func(*testing.B) string { return "/Users?count=100&sortBy=userName" }},
		{"sort/userName/index/deep", func(*testing.B) string { return "/Users?count=100&sortBy=userName&startIndex=" + strconv.Itoa(n/2) }},
		{"sort/userName/cursor/deep", func(b *testing.B) string { return deep(b, "/Users?sortBy=userName&") + "&count=100" }},
		{"sort/title/first", func(*testing.B) string { return "/Users?count=100&sortBy=title" }},
		{"sort/familyName/first", func(*testing.B) string { return "/Users?count=100&sortBy=name.familyName" }},
		{"sort/emails/first", func(*testing.B) string { return "/Users?count=100&sortBy=emails" }},
		{"sort/created/first", func(*testing.B) string { return "/Users?count=100&sortBy=meta.created&sortOrder=descending" }},
		{"sort/title/index/deep", func(*testing.B) string { return "/Users?count=100&sortBy=title&startIndex=" + strconv.Itoa(n/2) }},
		{"sort/title/cursor/second", func(b *testing.B) string {
			return "/Users?sortBy=title&count=100&cursor=" + cursor(b, "/Users?sortBy=title&count=100", "")
		}},
		{"sort/title/filtered", func(*testing.B) string { return "/Users?sortBy=title&filter=" + url.QueryEscape(`title sw "Title 5"`) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := c.path(b)
			b.ReportAllocs()
			for b.Loop() {
				get(b, path)
			}
		})
	}
}
