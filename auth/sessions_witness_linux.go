package auth

import (
	"io/fs"
	"syscall"
	"time"
)

// changedAt is when the file was last written, renamed, or its owner or mode changed: no program sets it.
func changedAt(info fs.FileInfo) time.Time {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(s.Ctim.Unix())
	}
	return info.ModTime()
}
