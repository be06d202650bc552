package desk

import "github.com/bizzstream/bizzscim/directory"

// Pace is pace, for tests.
var Pace = pace

// Bounds of what goes on at once.
const (
	MaxExports = maxExports
	MaxReports = maxReports
)

// HoldReport takes the place of a report.
func HoldReport(d *Desk, by directory.Actor) (func(), error) { return d.reports.enter(by, "reports") }
