// Package web serves what kconfd shows over HTTP, to clients that may be many,
// slow or hostile. No client takes more than a small, fixed share of memory and of
// descriptors, and none keeps another one from an answer.
//
//   - Connections: [Server.Serve] holds no more than [MaxConnections], fewer where
//     descriptors are scarce. A new connection is always accepted: one that has
//     not asked is closed for it, or else the one that has read nothing for the longest
//     time.
//   - Requests: one on each connection, GET without a body, and headers of a few
//     kilobytes, within seconds.
//   - Answers: an [Answer] is made once for all clients that ask while it is sent.
//     What is being sent is bounded in bytes; socket buffers are small.
//   - Names: a connection to a loopback address is answered only when its Host is an
//     IP address or localhost, so that no web page can ask by a name of its own (DNS
//     rebinding).
package web
