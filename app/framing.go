package app

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
)

// net/http takes what another server in front of us may read differently, and does not show that it was there: a line that
// ends in a line feed alone, a header that goes on in the next line, Content-Length beside Transfer-Encoding. RFC 9112
// (sections 2.2, 5.2, 6.1 and 6.3) lets a server refuse all of it. So what comes in is looked at before net/http has it.

// framed is a listener whose connections refuse requests of which two servers could see different ends.
type framed struct{ net.Listener }

func (l framed) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newFraming(c), nil
}

// framing follows the heads of the requests on a connection. It reads along and keeps nothing but a line that is not whole
// yet, which is no longer than the headers that net/http reads.
type framing struct {
	net.Conn
	line    []byte // beginning of a line of which the end has not come yet
	request []byte // last characters of the request line, which name the version; nil: the next line is one
	length  int64  // that this head announces; -1: it announces none
	coded   bool   // this head has a Transfer-Encoding
	body    int64  // bytes to pass by before the next head
	last    bool   // of what follows nothing is a head: the edge closes the connection after such a request
	bad     []byte // what net/http is to read in place of the rest
	refused bool
}

// unreadable is what no request, header or chunk begins with or goes on with: net/http answers it with 400, behind the
// answers to what came before, and closes the connection.
const unreadable = "\x00\r\n\r\n"

func newFraming(c net.Conn) *framing { return &framing{Conn: c, length: -1} }

func (f *framing) Read(p []byte) (int, error) {
	if !f.refused {
		n, err := f.Conn.Read(p)
		good := f.scan(p[:n])
		if good == n {
			return n, err
		}
		f.refused, f.bad = true, []byte(unreadable)
		if good > 0 {
			return good, nil
		}
	}
	if len(f.bad) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.bad)
	f.bad = f.bad[n:]
	return n, nil
}

// CloseWrite lets net/http say that an answer was the last one, as on the connection itself.
func (f *framing) CloseWrite() error {
	if c, ok := f.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// scan returns how much of what has come may pass.
func (f *framing) scan(p []byte) int {
	for i := 0; i < len(p); {
		if f.last {
			break
		}
		if f.body > 0 {
			n := min(f.body, int64(len(p)-i))
			f.body -= n
			i += int(n)
			continue
		}
		end := bytes.IndexByte(p[i:], '\n')
		if end < 0 {
			f.line = append(f.line, p[i:]...)
			break
		}
		line := p[i : i+end]
		if len(f.line) > 0 {
			line = append(f.line, line...)
			f.line = f.line[:0]
		}
		if !f.take(line) {
			return i
		}
		i += end + 1
	}
	return len(p)
}

// take takes in a line of a head, without its line feed, and reports whether it may pass.
func (f *framing) take(line []byte) bool {
	line, whole := bytes.CutSuffix(line, []byte("\r"))
	if !whole {
		return false
	}
	switch {
	case f.request == nil:
		f.request = bytes.Clone(line[max(0, len(line)-len("HTTP/1.1")):])
		return len(line) > 0
	case len(line) == 0:
		f.body, f.last = max(f.length, 0), f.coded
		f.request, f.length, f.coded = nil, -1, false
		return true
	case line[0] == ' ', line[0] == '\t':
		return false
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch {
	case strings.EqualFold(string(name), "Content-Length"):
		return f.takeLength(string(bytes.Trim(value, " \t")))
	case strings.EqualFold(string(name), "Transfer-Encoding"):
		f.coded = true // one that is not known is for net/http to refuse
		return f.length < 0 && string(f.request) == "HTTP/1.1"
	}
	return true
}

func (f *framing) takeLength(value string) bool {
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil || f.length >= 0 || f.coded {
		return false
	}
	f.length = int64(n)
	return true
}
