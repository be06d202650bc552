// Package store chooses the back end that keeps the directory's records. It knows their
// addresses and nothing of what they store.
package store

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/store/bolt"
)

// Open opens the store at address: a file's path, as it is or as bolt:///path.
func Open(address string) (directory.Store, error) {
	scheme, _, ok := strings.Cut(address, "://")
	switch {
	case address == "":
		return nil, fmt.Errorf("store: no address")
	case !ok:
		return openBolt(address)
	case scheme == "bolt":
		u, err := url.Parse(address)
		if err != nil || u.Host != "" || u.Path == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("store: %q is not of the form bolt:///path/to/file", address)
		}
		return openBolt(u.Path)
	case scheme == "postgres", scheme == "postgresql":
		// Not the rest: it may hold a password.
		return nil, fmt.Errorf("store: this build has no PostgreSQL back end yet; use bolt:///path or a file's path")
	default:
		return nil, fmt.Errorf("store: unknown back end %q; use bolt:///path or a file's path", scheme)
	}
}

// openBolt keeps a nil *bolt.Store out of the interface.
func openBolt(path string) (directory.Store, error) {
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return nil, err
	}
	return s, nil
}
