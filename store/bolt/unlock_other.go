//go:build !unix || aix || illumos || solaris

package bolt

import "os"

func unlock(*os.File) {}
