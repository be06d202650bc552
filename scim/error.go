package scim

import (
	"fmt"
	"net/http"
	"strconv"
)

// Error is a SCIM protocol error (RFC 7644 section 3.12): what the client may know.
type Error struct {
	Status   int    // HTTP status
	ScimType string // detail keyword of RFC 7644 table 9; empty where none applies
	Detail   string // human-readable, safe to show
}

func (e *Error) Error() string {
	if e.ScimType == "" {
		return fmt.Sprintf("scim: %d: %s", e.Status, e.Detail)
	}
	return fmt.Sprintf("scim: %d %s: %s", e.Status, e.ScimType, e.Detail)
}

// appendJSON appends the error body: schemas, status (a string), scimType, detail, nothing else.
func (e *Error) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"`...)
	dst = strconv.AppendInt(dst, int64(e.Status), 10)
	dst = append(dst, '"')
	if e.ScimType != "" {
		dst = append(dst, `,"scimType":"`...)
		dst = append(dst, e.ScimType...)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"detail":`...)
	dst = appendString(dst, e.Detail)
	return append(dst, '}')
}

func badRequest(scimType, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, ScimType: scimType, Detail: fmt.Sprintf(format, args...)}
}

func invalidSyntax(format string, args ...any) *Error {
	return badRequest("invalidSyntax", format, args...)
}

func invalidValue(format string, args ...any) *Error {
	return badRequest("invalidValue", format, args...)
}

func invalidPath(format string, args ...any) *Error {
	return badRequest("invalidPath", format, args...)
}

func invalidFilter(format string, args ...any) *Error {
	return badRequest("invalidFilter", format, args...)
}

func mutability(format string, args ...any) *Error { return badRequest("mutability", format, args...) }
