package safefs

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"slices"
)

// An ACL is a POSIX access control list, as the kernel gives it.
type ACL []aclEntry

type aclEntry struct {
	Tag, Perm uint16
	ID        uint32 // of a user or group that is named
}

// The tags of Linux's posix_acl.h.
const (
	aclUserObj  = 0x01
	aclGroupObj = 0x04
	aclMask     = 0x10
	aclOther    = 0x20

	aclVersion   = 2
	aclHeader    = 4 // bytes
	aclEntrySize = 8
)

var errACL = errors.New("the access control list is malformed")

// parseACL reads the value of an attribute. An empty one is no list.
func parseACL(value []byte) (ACL, error) {
	if len(value) == 0 {
		return nil, nil
	}
	if len(value) < aclHeader || binary.LittleEndian.Uint32(value) != aclVersion || (len(value)-aclHeader)%aclEntrySize != 0 {
		return nil, errACL
	}
	var a ACL
	for chunk := range slices.Chunk(value[aclHeader:], aclEntrySize) {
		a = append(a, aclEntry{
			Tag: binary.LittleEndian.Uint16(chunk), Perm: binary.LittleEndian.Uint16(chunk[2:]), ID: binary.LittleEndian.Uint32(chunk[4:]),
		})
	}
	return a, nil
}

func (a ACL) bytes() []byte {
	value := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range a {
		value = binary.LittleEndian.AppendUint16(value, e.Tag)
		value = binary.LittleEndian.AppendUint16(value, e.Perm)
		value = binary.LittleEndian.AppendUint32(value, e.ID)
	}
	return value
}

// perm is what an entry without a name permits, as three bits; all without such an entry.
func (a ACL) perm(tag uint16) fs.FileMode {
	for _, e := range a {
		if e.Tag == tag {
			return fs.FileMode(e.Perm & 0o7)
		}
	}
	return 0o7
}

func (a ACL) has(tag uint16) bool {
	return slices.ContainsFunc(a, func(e aclEntry) bool { return e.Tag == tag })
}

// Group is what the list permits to the owning group, as three bits. The mode of the file
// has the mask there, which may be more.
func (a ACL) Group() fs.FileMode { return a.perm(aclGroupObj) & a.perm(aclMask) }

// Limit is what remains of a mode for a new file where the list is the default of its
// directory.
func (a ACL) Limit(mode fs.FileMode) fs.FileMode {
	if a == nil {
		return mode
	}
	group := a.perm(aclGroupObj)
	if a.has(aclMask) {
		group = a.perm(aclMask)
	}
	return mode & (a.perm(aclUserObj)<<6 | group<<3 | a.perm(aclOther))
}

// withMode is the list after a chmod: it changes the owner's entry, the mask, or the group's
// entry where there is no mask, and that of all others.
func (a ACL) withMode(mode fs.FileMode) ACL {
	changed := slices.Clone(a)
	group := uint16(aclGroupObj)
	if a.has(aclMask) {
		group = aclMask
	}
	for i, e := range changed {
		switch e.Tag {
		case aclUserObj:
			changed[i].Perm = uint16(mode >> 6 & 0o7)
		case group:
			changed[i].Perm = uint16(mode >> 3 & 0o7)
		case aclOther:
			changed[i].Perm = uint16(mode & 0o7)
		}
	}
	return changed
}
