package app

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// pieces is a connection on which a text arrives in pieces.
type pieces struct {
	net.Conn
	left []string
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; p.left[0] == "" {
		p.left = p.left[1:]
	}
	return n, nil
}

// TestFramingOfEveryCut shows that what passes does not depend on how the bytes arrive, and that of bodies nothing is
// taken for a head.
func TestFramingOfEveryCut(t *testing.T) {
	t.Parallel()
	const post = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na\nb: c\n\n " // a body of 9 bytes that would be no head
	const get = "GET /y HTTP/1.1\r\nHost: x\r\n\r\n"
	const chunked = "POST /z HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\n\n\r\n0\r\n\r\nGET /never HTTP/1.1\n\n"
	for _, tt := range []struct {
		name, text string
		whole      bool
	}{
		{"requests", get + post + get + get, true},
		{"none", "", true},
		{"a body of nothing", "POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n" + get, true},
		{"behind a chunked body nothing is a request", get + chunked, true},
		{"a bad one behind good ones", get + post + "GET /y HTTP/1.1\r\nX: y\nZ: a\r\n\r\n" + get, false},
		{"length and encoding", get + "POST /x HTTP/1.1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n" + get, false},
		{"a length too large", "POST /x HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n\r\n", false},
		{"a length of the request before counts no more", post + strings.Replace(chunked, "\n\n", "\r\n\r\n", 1), true},
		{"an empty line first", "\r\n" + get, false},
	} {
		cuts := [][]string{{tt.text}, strings.Split(tt.text, "")}
		for i := range tt.text {
			cuts = append(cuts, []string{tt.text[:i], tt.text[i:]})
		}
		for _, cut := range cuts {
			cut = slices.DeleteFunc(slices.Clone(cut), func(s string) bool { return s == "" })
			got, err := io.ReadAll(io.LimitReader(newFraming(&pieces{left: cut}), int64(len(tt.text)+len(unreadable)+1)))
			before, refused := strings.CutSuffix(string(got), unreadable)
			switch {
			case err != nil:
				t.Fatal(err)
			case tt.whole && string(got) != tt.text:
				t.Errorf("%s in %q: %q arrives", tt.name, cut, got)
			case !tt.whole && (!refused || !strings.HasPrefix(tt.text, before)):
				t.Errorf("%s in %q: %q arrives", tt.name, cut, got)
			}
		}
	}
}

// TestGoodRequestsBeforeABadOneAreAnswered sends three requests at once, of which the last is refused.
func TestGoodRequestsBeforeABadOneAreAnswered(t *testing.T) {
	t.Parallel()
	r := start(t, Config{}, Options{})
	c, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(c, strings.Repeat("GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\n\n", 2)+"GET /livez HTTP/1.1\r\nHost: x\n\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	in := bufio.NewReader(c)
	for i, want := range []int{http.StatusOK, http.StatusOK, http.StatusBadRequest} {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want || resp.Close != (want == http.StatusBadRequest) {
			t.Errorf("answer %d: %s, close %v, %v", i, resp.Status, resp.Close, err)
		}
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection goes on: %v", err)
	}
}
