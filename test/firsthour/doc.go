// Package firsthour has the first hour of a new user as pages in testdata, and types them
// into a shell.
//
// A page is Markdown. Each section (##) is a test with a directory of its own, and all
// sections run beside each other. The directory has the files of the page's introduction,
// which come before the first section. In a section, in this order:
//
//   - A block with a language and a path, such as "toml conf.d/a.toml", is a file that the
//     user writes. It is replaced whole.
//   - A block "console" is what the user types behind "$ ", and what is printed: standard
//     output and standard error. A last line "[exit 2]" is the exit code, where it is not 0.
//
// Commands of a section share one shell. What differs between runs, such as times, process
// ids and ports, is "…". Beside kconfd and the programs of the machine there are
//
//	await PATTERN FILE   waits until a line of FILE matches, and prints what FILE has got
//	                     since the last await
//	worker [ready=CMD] SIGNAL[:CODE]=CMD …
//	                     a process that runs a command for each signal, see test/process
//
// In the page cluster.md, KUBECONFIG is that of an administrator of a real API server.
//
//	go test ./test/firsthour -update
//
// writes what is printed into the pages.
package firsthour
