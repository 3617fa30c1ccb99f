// Package safefs reads and replaces files in directories that other users may
// write to, while kconfd is root.
//
// A path is walked once, one component after the other, without the kernel
// following any link: [Locate]. What it gives is an opened directory and a name
// in it. All that follows names the entry relative to that [Dir] and never
// follows a link, so renaming directories or planting links in between changes
// nothing. New files are created with O_EXCL; owner and mode are set by
// descriptor.
//
// Links in directories that only root and kconfd's own user may write to are
// followed. A link in a directory of another user leads only into directories
// of that user: a [PathError] is the answer to any other.
//
// The package does not judge what is in the files, and it does not hide them
// from the directory's other users: these can always remove or replace what is
// in a directory of theirs.
package safefs
