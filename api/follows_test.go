package api

import (
	"context"
	"fmt"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

// Each token has eight places to follow the changes from, and all together have 500; who leaves makes room.
func TestPlacesToFollowFrom(t *testing.T) {
	t.Parallel()
	f := &follows{done: make(chan struct{}), all: map[string]int{}}
	enter := func(token string) func() {
		t.Helper()
		leave, err := f.enter(token)
		if err != nil {
			t.Fatal(err)
		}
		return leave
	}
	full := func(token string) {
		t.Helper()
		if _, err := f.enter(token); err == nil || directory.KindOf(err) != directory.RateLimited {
			t.Errorf("a place more for %s: %v", token, err)
		}
	}
	var leave []func()
	for i := range maxFollows {
		leave = append(leave, enter(fmt.Sprint("token ", i/maxFollowsOne)))
		if i == maxFollowsOne-1 {
			full("token 0")
		}
	}
	full("another token")
	leave[0]()
	leave[0] = enter("token 0")
	full("another token")
	for _, leave := range leave {
		leave()
	}
	if f.n != 0 || len(f.all) != 0 {
		t.Errorf("%d places are taken by nobody: %v", f.n, f.all)
	}
}

// What follows ends with the server, and with its own request.
func TestFollowingEndsWithTheServer(t *testing.T) {
	t.Parallel()
	h := &Handler{follows: follows{done: make(chan struct{}), all: map[string]int{}}}
	asked, over := context.WithCancel(t.Context())
	of, cancel := h.follows.until(asked)
	defer cancel()
	whole, cancel := h.follows.until(t.Context())
	defer cancel()
	over()
	<-of.Done()
	if whole.Err() != nil {
		t.Error("one request has ended another")
	}
	h.Close()
	h.Close()
	<-whole.Done()
}
