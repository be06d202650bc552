package scim

import (
	"strconv"
	"strings"
)

// acceptable reports whether Accept (RFC 9110 section 12.5.1) lets us answer in JSON: whoever takes application/json is given
// application/scim+json too (RFC 7644 section 3.1 names both). What cannot be read rules out nothing: old HTTP libraries send
// things like "*; q=.2".
func acceptable(headers []string) bool {
	const missing = -1
	var quality [4]float64 // of scim+json, json, application/*, */*
	for i := range quality {
		quality[i] = missing
	}
	seen := false
	for _, header := range headers {
		for item := range strings.SplitSeq(header, ",") {
			media, params, _ := strings.Cut(item, ";")
			media = strings.TrimSpace(media)
			if media == "" {
				continue
			}
			if seen = true; !strings.Contains(media, "/") {
				return true
			}
			i := acceptedRange(media)
			if i < 0 {
				continue
			}
			q, ok := qualityOf(params)
			if !ok {
				return true
			}
			quality[i] = max(quality[i], q)
		}
	}
	if !seen {
		return true
	}
	// The most specific range that fits decides (RFC 9110 section 12.5.1).
	of := func(ranges ...int) float64 {
		for _, i := range ranges {
			if quality[i] != missing {
				return quality[i]
			}
		}
		return 0
	}
	return of(0, 2, 3) > 0 || of(1, 2, 3) > 0
}

// acceptedRange numbers the media ranges that hold what we send, from the most specific; -1: another one.
func acceptedRange(media string) int {
	for i, known := range [...]string{contentType, "application/json", "application/*", "*/*"} {
		if equalFold(media, known) {
			return i
		}
	}
	return -1
}

// qualityOf reads the weight among the parameters of a media range; 1 without one.
func qualityOf(params string) (q float64, ok bool) {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !equalFold(name, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		return q, err == nil && q >= 0 && q <= 1
	}
	return 1, true
}
