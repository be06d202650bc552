package main

import (
	"testing"

	"github.com/bizzstream/bizzscim/app"
)

func TestLandingText(t *testing.T) {
	at := app.Named{ID: "e", Name: "Fjord East"}
	for want, l := range map[string]app.Landing{"Fjord East (chosen)": {Named: at, Chosen: true}, "Fjord East (the first access)": {Named: at}} {
		if got := landingText(l); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
