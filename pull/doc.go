// Package pull brings environments in line with the groups of their directory: every 15 minutes,
// and when an administrator presses Sync, it reads the members of the environment's Groups to Sync,
// compares them with what the push has left, and repairs the difference.
//
// A run reads, plans, checks and applies, each a step of its own. It never takes an access away on
// a read that was not complete, nor on one read alone, and it stops before more goes away than a
// person should decide on. Every change ends in directory.Service, as a push does.
//
// The package must never know what a directory is spoken to with (package graph does) nor who asked
// for a run other than as an actor.
package pull
