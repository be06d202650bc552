package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"time"
)

// The server, the floors and the simulated directory each run in a process of their own, of this same program. The parent
// tells them what to do over their standard input and output; when that ends, so do they.

const childArg = "child-of-bench"

// child is a process as its parent sees it.
type child struct {
	*rpc.Client
	Address string // where it serves HTTP
	process *exec.Cmd
}

// spawn starts a child.
func spawn(ctx context.Context, role string, o Options) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	cmd := exec.CommandContext(ctx, self, childArg, role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	c := &child{Client: rpc.NewClient(pipe{out, in}), process: cmd}
	if err := c.call("Start", o, &c.Address); err != nil {
		c.stop()
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	return c, nil
}

// call has the child do something.
func (c *child) call(method string, args, reply any) error {
	if err := c.Call("Child."+method, args, reply); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// stop ends the child: by closing its input, by force when it does not heed.
func (c *child) stop() {
	_ = c.Close() // that is what it waits for; it may be gone already
	kill := time.AfterFunc(10*time.Second, func() { _ = c.process.Process.Kill() })
	defer kill.Stop()
	_ = c.process.Wait() // killed or not, it is gone
}

// pipe joins two ends.
type pipe struct {
	io.ReadCloser
	w io.WriteCloser
}

func (p pipe) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p pipe) Close() error                { return errors.Join(p.w.Close(), p.ReadCloser.Close()) }

// childMain is the main function of a child.
func childMain(role string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var object any
	switch role {
	case roleServer:
		object = &Server{ctx: ctx}
	case roleFloor:
		object = &Floor{ctx: ctx}
	case roleEntra:
		object = &Entra{ctx: ctx}
	default:
		return fmt.Errorf("unknown role %q", role)
	}
	s := rpc.NewServer()
	if err := s.RegisterName("Child", object); err != nil {
		return err
	}
	s.ServeConn(pipe{os.Stdin, os.Stdout})
	return nil
}
