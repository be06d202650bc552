package console

import (
	"context"
	"errors"
	"testing"
)

// TestAFormIsAnsweredOnceAtATime sees that a form waits for the answer to itself, for no other, and not longer than who sent it.
func TestAFormIsAnsweredOnceAtATime(t *testing.T) {
	t.Parallel()
	s := sending{all: map[[32]byte]chan struct{}{}}
	first, err := s.begin(t.Context(), [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := s.begin(gone, [32]byte{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("the form is answered twice at a time: %v", err)
	}
	other, err := s.begin(gone, [32]byte{2})
	if err != nil {
		t.Fatalf("another form waits: %v", err)
	}
	other()
	second := make(chan func())
	go func() {
		end, err := s.begin(t.Context(), [32]byte{1})
		if err != nil {
			t.Error(err)
		}
		second <- end
	}()
	first()
	(<-second)()
	if len(s.all) != 0 {
		t.Errorf("%d forms are remembered", len(s.all))
	}
}
