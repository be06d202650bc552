package app

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot is the time since the machine was started, suspended or not: nobody sets it, and it goes on
// while this program does not run.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Since(started)
	}
	return time.Duration(t.Nano())
}

var started = time.Now()
