// Package steady reads files that a user may be writing at the same moment.
//
// A file that is replaced in place is empty first, then has a part of its content, then all of
// it. No system call says when the writer has ended. [Files] takes what it has read only when
// nothing of it has changed for a quiet time, as size, times, inode, and the names in directories
// show. What changed within one quiet time is one change.
//
// A writer that pauses for longer than the quiet time cannot be told from one that has ended.
package steady
