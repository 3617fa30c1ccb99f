// Package limits runs text/template templates whose data may be hostile.
//
// text/template cannot be interrupted, Go cannot recover from a stack overflow
// or from a lack of memory, and a single function call can make gigabytes out
// of a number. A [Meter] counts what one execution takes, and ends it with an
// [*Error] when a limit is exceeded:
//
//   - [Meter.Mount] puts marks into the parse trees: texts of no length, which
//     text/template writes to a [Writer] whenever a template begins or ends and
//     whenever a loop goes round. They cost nanoseconds and print nothing.
//   - [Meter.Wrap] gives functions that measure their arguments and results.
//   - [Weigh] measures a value before something recurses into it: a map may
//     contain itself, and forty lists may print as a terabyte.
//   - [Nesting] finds text that nests too deep for the parser.
package limits
