// Package lint finds mistakes in resource files and templates without running
// them: all that there are, each with its place. It knows the functions and keys
// of confd, consul-template and Helm, and says what to write in their place.
package lint
