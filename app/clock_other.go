//go:build !linux

package app

import "time"

// sinceBoot is the time since this program was started: here nothing tells how long the machine has run.
func sinceBoot() time.Duration { return time.Since(started) }

var started = time.Now()
