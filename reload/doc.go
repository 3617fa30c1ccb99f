// Package reload tells a process that its files have changed.
//
// An [Action] says how: send a signal, run a command, make an HTTP request, or nothing at all. A
// [Command] is an external program with a deadline; checks and verifications are commands as well.
// [Quiet] decides when a burst of events is over, [Backoff] when to try again what failed. Nothing
// here starts by itself, keeps state on disk or retries: [Action.Do] is one attempt, and its caller
// decides what follows from an error.
//
// # Promises
//
// Signals go to the process that was meant, or to nobody:
//
//   - A process is opened, looked at once more, and only then signalled through the open handle, so
//     that a process id that was given to another program in between is not hit.
//   - A pid file that is empty, garbled, stale, or holds the caller's own id is an error. When the
//     action also names the process, the process of the pid file must bear that name. Process 1 is
//     signalled only then: in a container it is often somebody else's init.
//   - By name, the signal goes to the one match that is not the child of another match: to a master,
//     not to its workers. Several masters are an error that lists them, and none is signalled.
//   - The caller itself and zombies are never signalled.
//
// Commands end:
//
//   - A command runs in its own process group with /dev/null as standard input. At its deadline, or
//     when the context ends, the whole group gets SIGTERM, and after a grace SIGKILL.
//   - Only the last 8 KiB of its output are kept, however much it writes.
//   - A background process that keeps the command's output open does not hold up Run, and is not killed
//     when the command ended by itself. With [DrainWith], it is not hurt by a closed pipe either: a
//     process that outlives the caller reads what it writes.
//
// HTTP requests end too: the timeout covers everything from the connection to the last byte that is
// read, a redirect is an error, little of the body is read, no connection is kept, and no proxy is used.
//
// Errors are one line, and neither they nor the string forms show the user, password or query of a URL.
// They do show commands and the last line of their output.
//
// # What is not promised
//
// Two equal signals that arrive at the same instant may become one, as they may in the kernel. SIGPROF and the
// signals 32 to 34 are not passed on: Go keeps them for itself or for C libraries. SIGTSTP, SIGTTIN, SIGTTOU and
// SIGCONT that come while no child runs are dropped. SIGCONT that comes in the milliseconds before [Init] has stopped
// after one of the others does not continue it.
//
// A process that left its group (setsid) is beyond the reach of a command's deadline. A command that
// the kernel holds in an uninterruptible wait holds Run until the kernel lets go. Where the kernel has
// no pidfds (Linux before 5.4, some sandboxes), a signal falls back to the process id, and the moment
// between the second look and the signal is unguarded.
package reload
