package safefs

import (
	"io/fs"
	"os"
	"syscall"
	"time"
)

// A Stat is what the file system says about an entry.
type Stat struct {
	Device   uint64
	Inode    uint64
	Mode     fs.FileMode
	UID, GID int
	Size     int64
	Modified time.Time
	Names    int // hard links
}

// Same says whether two are of the same file, whatever was done to it.
func (s Stat) Same(other Stat) bool { return s.Device == other.Device && s.Inode == other.Inode }

// Describe gives the Stat of an opened file.
func (f *File) Describe() (Stat, error) {
	info, err := f.Stat()
	if err != nil {
		return Stat{}, err
	}
	return describe(info), nil
}

func describe(info os.FileInfo) Stat {
	s := info.Sys().(*syscall.Stat_t)
	return Stat{
		Device: s.Dev, Inode: s.Ino, Mode: info.Mode(), UID: int(s.Uid), GID: int(s.Gid),
		Size: info.Size(), Modified: info.ModTime(), Names: int(s.Nlink),
	}
}
