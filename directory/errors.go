package directory

import (
	"errors"
	"fmt"
)

// ErrorKind says what went wrong in the terms of the domain. Each transport has one table that
// turns kinds into its own words.
type ErrorKind uint8

// The kinds of Error.
const (
	Internal     ErrorKind = iota // a fault of ours; Detail is not for the client
	Invalid                       // the value of Field is not acceptable
	NotFound                      // there is no such thing in this tenant
	Exists                        // a unique value is taken
	Conflict                      // the thing is not in the state that the change needs
	ReadOnly                      // the value is managed elsewhere
	Unauthorized                  // the caller is not known
	Forbidden                     // the caller is known and may not
	RateLimited                   // too many requests
	Unavailable                   // the server cannot do it now
)

var errorKindNames = [...]string{"internal", "invalid", "not found", "exists", "conflict", "read only",
	"unauthorized", "forbidden", "rate limited", "unavailable"}

// ErrorKinds is the number of kinds, for the tests that walk a table of them.
const ErrorKinds = len(errorKindNames)

func (k ErrorKind) String() string { return errorKindNames[k] }

// Error is the one error type of the domain.
type Error struct {
	Kind   ErrorKind
	Field  string // the attribute or setting that is at fault, where there is one
	Detail string // safe to show to the caller
	Err    error  // for the operator alone
}

func (e *Error) Error() string {
	s := e.Detail
	if s == "" {
		s = e.Kind.String()
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an error: that of the Error in its chain, Unavailable for a failed
// store, Internal for anything else.
func KindOf(err error) ErrorKind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, ErrFailed):
		return Unavailable
	}
	return Internal
}

func failf(kind ErrorKind, field, format string, args ...any) *Error {
	return &Error{Kind: kind, Field: field, Detail: fmt.Sprintf(format, args...)}
}
