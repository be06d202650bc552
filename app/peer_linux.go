package app

import (
	"net"
	"syscall"
)

// peerUser returns the user id of the process at the other end of a Unix socket, as the kernel
// tells it.
func peerUser(c net.Conn) (uid int, ok bool) {
	u, isUnix := c.(*net.UnixConn)
	if !isUnix {
		return 0, false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *syscall.Ucred
	err = raw.Control(func(fd uintptr) {
		if got, e := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); e == nil {
			cred = got
		}
	})
	if err != nil || cred == nil {
		return 0, false
	}
	return int(cred.Uid), true
}
