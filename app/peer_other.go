//go:build !linux

package app

import "net"

// peerUser is not known here: the socket's mode lets its owner in alone, and that is who it is.
func peerUser(net.Conn) (uid int, ok bool) { return 0, false }
