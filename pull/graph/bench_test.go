//go:build unix

package graph

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/graph/reader"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// BenchmarkRead reads a group of 100,000 over TLS, from pages that were rendered before, plain and as Graph
// sends them to who takes gzip. cpu-ms is the time of the process, the server's share of TLS in it.
func BenchmarkRead(b *testing.B) {
	for _, compressed := range []bool{false, true} {
		b.Run(fmt.Sprintf("gzip=%t", compressed), func(b *testing.B) { benchmarkRead(b, compressed) })
	}
}

const benchPeople = 100_000

func benchmarkRead(b *testing.B, compressed bool) {
	var pages [][]byte
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(req.URL.Path, "openid-configuration"):
			_, _ = io.WriteString(w, strings.ReplaceAll(metadata, "https://login.example", "https://"+req.Host))
		case strings.HasSuffix(req.URL.Path, "/token"):
			_, _ = io.WriteString(w, `{"token_type":"Bearer","expires_in":3600,"access_token":"t"}`)
		default:
			if compressed {
				w.Header().Set("Content-Encoding", "gzip")
			}
			n, _ := strconv.Atoi(req.URL.Query().Get("$skiptoken"))
			_, _ = w.Write(pages[n])
		}
	}))
	defer server.Close()
	pages = benchPages(server.URL+"/v1.0", compressed)
	transport := reader.NewTransport(nil)
	transport.TLSClientConfig.InsecureSkipVerify = true
	source, err := connect(pull.Connection{
		DirectoryID: someID, ClientID: otherID, Cloud: pull.CloudCustom, LoginURL: server.URL, GraphURL: server.URL + "/v1.0",
		Kind: pull.ClientSecret, Secret: []byte("s3cret"),
	}, transport, noSleep)
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close()
	b.ReportAllocs()
	begin := cpu()
	for b.Loop() {
		l, err := source.Members(b.Context(), theGroup, false, func(pull.Person) error { return nil })
		if err != nil || l.People != benchPeople || l.Requests > 110 {
			b.Fatal(l, err)
		}
	}
	b.ReportMetric(float64((cpu()-begin).Milliseconds())/float64(b.N), "cpu-ms/op")
}

// benchPages renders the pages of a group.
func benchPages(base string, compressed bool) (pages [][]byte) {
	const size = 999
	for first := 1; first <= benchPeople; first += size {
		var page bytes.Buffer
		var w io.Writer = &page
		z := gzip.NewWriter(&page)
		if compressed {
			w = z
		}
		fmt.Fprintf(w, `{"@odata.context":"x","@odata.count":%d,`, benchPeople)
		if first+size <= benchPeople {
			fmt.Fprintf(w, `"@odata.nextLink":"%s/groups/%s/members?$skiptoken=%d",`, base, theGroup, len(pages)+1)
		}
		fmt.Fprint(w, `"value":[`)
		for n := first; n < min(first+size, benchPeople+1); n++ {
			p, comma := pulltest.NewPerson(n), ","
			if n == first {
				comma = ""
			}
			fmt.Fprintf(w, `%s{"@odata.type":"#microsoft.graph.user","id":"%s","userPrincipalName":"%s","displayName":"%s","givenName":"%s",`+
				`"surname":"%s","mail":"%s","preferredLanguage":"%s","userType":"Member","accountEnabled":true}`,
				comma, p.ID, p.UserPrincipalName, p.DisplayName, p.GivenName, p.Surname, p.Mail, p.PreferredLanguage)
		}
		fmt.Fprint(w, `]}`)
		if compressed {
			_ = z.Close()
		}
		pages = append(pages, page.Bytes())
	}
	return pages
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
