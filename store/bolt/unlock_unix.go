//go:build unix && !aix && !illumos && !solaris

package bolt

import (
	"os"
	"syscall"
)

// unlock releases bbolt's lock. Closing the file would not, while it is still mapped.
func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
