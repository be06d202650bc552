package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Client asks for operations on a data folder: of the server that runs on it or, when none runs,
// by opening the store itself. Close it when done.
type Client struct {
	http  *http.Client // over the socket; nil: in this process
	admin http.Handler
	close func() error
}

// patience is how long Connect waits for a process that holds the store without answering: a
// server that is about to serve, or another command.
const patience = 5 * time.Second

// Connect reaches the data folder of a configuration. Errors: *ConfigError; directory.ErrLocked
// when a process holds the store and answers no operator.
func Connect(ctx context.Context, c Config, o Options) (*Client, error) {
	c, o = c.orDefaults(), o.orDefaults()
	if p := c.problems(); len(p) > 0 {
		return nil, &ConfigError{p}
	}
	end := time.Now().Add(patience)
	for {
		client, err := connectSocket(ctx, c)
		if err == nil {
			return client, nil
		}
		if !errors.Is(err, errNoServer) {
			return nil, err
		}
		client, err = connectStore(ctx, c, o)
		switch {
		case !errors.Is(err, directory.ErrLocked):
			return client, err
		case time.Now().After(end):
			return nil, fmt.Errorf("the data folder %s is in use by another process, which does not answer on %s: wait for it or stop it (%w)", c.Data, filepath.Join(c.Data, socketFile), err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// connectSocket reaches the running server; errNoServer when there is none.
func connectSocket(ctx context.Context, c Config) (*Client, error) {
	first, err := dialSocket(ctx, c.Data)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		mu.Lock()
		conn := first
		first = nil
		mu.Unlock()
		if conn != nil {
			return conn, nil
		}
		return dialSocket(ctx, c.Data)
	}}
	return &Client{http: &http.Client{Transport: transport}, close: func() error {
		mu.Lock()
		defer mu.Unlock()
		if first != nil {
			first.Close()
		}
		transport.CloseIdleConnections()
		return nil
	}}, nil
}

// connectStore opens the store in this process, with a worker for the runs that operations start.
func connectStore(ctx context.Context, c Config, o Options) (*Client, error) {
	st, service, err := newService(ctx, c, o)
	if err != nil {
		return nil, err
	}
	keys := newSecrets(c, service)
	quiet := o
	quiet.Logger = slog.New(errorsOnly{o.Logger.Handler()})
	reconciler, err := newReconciler(c, quiet, service, keys, nil)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var worker sync.WaitGroup
	worker.Go(func() {
		service.WorkDerivations(work, func(err error) { o.Logger.Error("a step of a run failed", "error", err) })
	})
	url := func() string {
		if c.BaseURL != "" {
			return c.BaseURL
		}
		return localURL(c.Listen)
	}
	return &Client{admin: newAdmin(service, reconciler, keys, o, url), close: func() error {
		reconciler.Close() // a run that is still under way is interrupted
		stop()
		worker.Wait()
		return st.Close()
	}}, nil
}

// Client returns a Client that asks this App without a detour. It need not be closed.
func (a *App) Client() *Client { return &Client{admin: a.admin} }

// Remote reports whether a server answers, and not this process itself.
func (c *Client) Remote() bool { return c.http != nil }

// Close ends the connection; a store that was opened is closed.
func (c *Client) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}

// Call asks for an operation. The error is an *Error when the operation was refused.
func Call[In, Out any](ctx context.Context, c *Client, op Operation[In, Out], in In) (Out, error) {
	var out Out
	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("app: %s: %w", op.Name, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin"+adminPrefix+op.Name, bytes.NewReader(body))
	if err != nil {
		return out, fmt.Errorf("app: %s: %w", op.Name, err)
	}
	status, answer, err := c.do(r)
	if err == nil && status != http.StatusOK {
		err = ctx.Err() // what an interrupted operation says is not why it failed
	}
	if err != nil {
		return out, fmt.Errorf("app: %s: %w", op.Name, err)
	}
	if status == http.StatusOK {
		if err := json.Unmarshal(answer, &out); err != nil {
			return out, fmt.Errorf("app: %s: the answer cannot be read: %w", op.Name, err)
		}
		return out, nil
	}
	var failed struct {
		Error *Error `json:"error"`
	}
	if err := json.Unmarshal(answer, &failed); err != nil || failed.Error == nil {
		return out, fmt.Errorf("app: %s: the server answered with status %d", op.Name, status)
	}
	return out, failed.Error
}

func (c *Client) do(r *http.Request) (int, []byte, error) {
	if c.http == nil {
		w := &recorder{status: http.StatusOK, header: http.Header{}}
		c.admin.ServeHTTP(w, r)
		return w.status, w.body.Bytes(), nil
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// recorder keeps an answer within the process.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }

// RunningURL returns the address, on this machine, of the server that runs on a data folder. It
// opens nothing itself.
func RunningURL(ctx context.Context, c Config) (string, error) {
	c = c.orDefaults()
	client, err := connectSocket(ctx, c)
	if errors.Is(err, errNoServer) {
		return "", fmt.Errorf("no server runs on the data folder %s; start one with: bizzscim serve --data %s", c.Data, c.Data)
	}
	if err != nil {
		return "", err
	}
	status, err := Call(ctx, client, ServerStatus, None{})
	if err = errors.Join(err, client.Close()); err != nil {
		return "", err
	}
	return localURL(status.Address), nil
}
