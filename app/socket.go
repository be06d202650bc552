package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// socket is the listener of the admin socket. The folder that it lies in has mode 0700, so nobody
// else reaches it even before its own mode is set.
type socket struct {
	*net.UnixListener
	path string
}

// errNoServer is returned by dialSocket when nobody answers.
var errNoServer = errors.New("app: no server answers on the admin socket")

// listenSocket listens on the admin socket of a data folder. A socket that is left over from a
// process that was killed is replaced; one that answers is an error.
func listenSocket(ctx context.Context, dir string) (*socket, error) {
	path := filepath.Join(dir, socketFile)
	if c, err := dialSocket(ctx, dir); err == nil {
		c.Close()
		return nil, fmt.Errorf("app: another server answers on %s", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("app: admin socket: %w", err)
	}
	address, release, err := socketAddress(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", address)
	if err != nil {
		return nil, fmt.Errorf("app: admin socket %s: %w", path, err)
	}
	s := &socket{path: path}
	var ok bool
	if s.UnixListener, ok = l.(*net.UnixListener); !ok {
		l.Close()
		return nil, fmt.Errorf("app: admin socket %s: not a socket", path)
	}
	s.SetUnlinkOnClose(false) // the address may be one that holds no longer
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("app: admin socket: %w", err)
	}
	return s, nil
}

func (s *socket) remove() {
	if s != nil {
		_ = os.Remove(s.path) // a socket that is left over is replaced at the next start
	}
}

// dialSocket connects to the server of a data folder; errNoServer when there is none.
func dialSocket(ctx context.Context, dir string) (net.Conn, error) {
	if _, err := os.Stat(filepath.Join(dir, socketFile)); err != nil {
		return nil, errNoServer
	}
	address, release, err := socketAddress(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "unix", address)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("app: the server of %s belongs to another user: run this command as that user", dir)
		}
		return nil, fmt.Errorf("%w: %w", errNoServer, err)
	}
	return c, nil
}

// maxSocketPath is what every system takes as the name of a Unix socket, in bytes.
const maxSocketPath = 100

// socketAddress names the admin socket in a way that the system takes, however deep the data
// folder lies. release must be called when the address has been used.
func socketAddress(dir string) (address string, release func(), err error) {
	path := filepath.Join(dir, socketFile)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	if runtime.GOOS != "linux" {
		return "", nil, fmt.Errorf("app: the name of the data folder %s is too long for its admin socket", dir)
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, fmt.Errorf("app: admin socket: %w", err)
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(d.Fd())), socketFile), func() { _ = d.Close() }, nil
}
