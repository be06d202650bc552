// Package optest signs people in with an OpenID provider that others wrote: what our own simulation of
// one and our relying party get wrong together shows here. It is a module of its own, so that the
// provider's many modules are no requirements of the program; run it by itself: go test ./...
package optest
