package app

import "golang.org/x/sys/unix"

// diskSpace is what is free to this program, and the size, of the file system that a folder is on, in bytes; -1 where
// that is not known.
func diskSpace(folder string) (free, size int64) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return -1, -1
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize
}
