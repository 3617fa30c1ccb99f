// Package tree runs a program so that all that it starts can be ended with it.
//
// A process group is not enough for that: a helper may start programs in groups
// of their own, a shell with job control does, and a daemon makes a session of
// its own and loses its parent. [Process.End] ends the whole tree:
//
//   - the process group of the program;
//   - its descendants, whatever group or session they are in;
//   - processes that lost their parent and have the program's mark in their
//     environment.
//
// The mark is a random word in the variable KCONFD_COMMAND_ID. Programs inside
// of programs have the marks of both.
//
// One kind of process escapes: a daemon that has emptied its environment, or that
// runs as another user where this process has no CAP_SYS_PTRACE.
//
// When this process ends without a word, the kernel sends SIGKILL to a program
// that is bound to it ([Bind]), unless the program has changed its user by then.
package tree
