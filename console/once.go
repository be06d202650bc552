package console

import (
	"context"
	"crypto/sha256"
	"net/http"
	"sync"

	"github.com/bizzstream/bizzscim/directory"
)

// A form that makes something new each time holds a value of its own (the part "single"). Sent again with it, by a second click
// or by loading the page anew that answered it, it makes nothing more. That it was done is kept as answers to idempotency
// keys are.

// sending are the forms with a value that are being answered.
type sending struct {
	mu  sync.Mutex
	all map[[32]byte]chan struct{} // closed when it is answered
}

// begin waits until the form is not being answered by another request. end lets the next one go on.
func (s *sending) begin(ctx context.Context, form [32]byte) (end func(), err error) {
	for {
		s.mu.Lock()
		other, is := s.all[form]
		if !is {
			mine := make(chan struct{})
			s.all[form] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.all, form)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// once does what a form asks for, unless that was done already. A form that was refused may be sent again. Who goes away
// meanwhile does not stop it: a browser leaves the first answer when a button is clicked twice.
func (c *Console) once(do func(*visit) error) func(*visit) error {
	return func(v *visit) error {
		value := v.r.PostForm.Get("once")
		if value == "" || v.principal == nil && v.r.PathValue("link") == "" { // of another form; those that anybody may send leave nothing
			return do(v)
		}
		form := sha256.Sum256([]byte(v.r.URL.Path + "\x00" + value))
		end, err := c.sending.begin(v.r.Context(), form)
		if err != nil {
			return err
		}
		defer end()
		holder := c.holder(v)
		err = c.config.Directory.View(v.r.Context(), func(sn *directory.Snapshot) error {
			before, err := sn.KeptAnswer(holder, form, c.config.Now())
			if err == nil && before != nil {
				err = &notice{status: http.StatusConflict, key: "made"}
			}
			if err != nil {
				return err
			}
			return sn.MayKeepAnswer(holder)
		})
		if err != nil {
			return err
		}
		v.r = v.r.WithContext(context.WithoutCancel(v.r.Context()))
		if err := do(v); err != nil || v.status >= http.StatusBadRequest {
			return err
		}
		if err := c.config.Directory.KeepAnswer(v.r.Context(), holder, form, form, ""); err != nil { // it has been done, and said
			c.config.Log.Error("a form could not be kept from being sent again", "request_id", c.config.RequestID(v.r), "error", err)
		}
		return nil
	}
}

// holder is whose form it is: the session, or, of who came by a setup link, the address with the link.
func (c *Console) holder(v *visit) (id directory.ID) {
	if v.principal != nil {
		return v.principal.Session.ID
	}
	link := sha256.Sum256([]byte(v.r.URL.Path))
	copy(id[:], link[:])
	return id
}
