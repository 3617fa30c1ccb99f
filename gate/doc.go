// Package gate lets the replicas of a service act one at a time, or a few at a time, by a Lease of the
// API server; and it decides who is the first ever to claim something.
//
// A replica enters, acts, and leaves:
//
//	g := gate.New(client, gate.Options{Namespace: "shop", Name: "web", Identity: "web-0"})
//	pass, err := g.Enter(ctx) // waits for its turn
//	…
//	if !pass.Held() { … }     // lost since: Leave, and Enter again
//	act()
//	if err := verify(); err != nil {
//		pass.Fail(ctx, err.Error()) // nobody else is let in
//	} else {
//		pass.Leave(ctx)
//	}
//
// One Lease is one gate. Its spec is that of any Lease with a holder. The other holders, the queue and what has
// stopped the gate are in annotations. Every change is made to the version that was seen, or not at all.
//
// # Promises
//
//   - Never are there more passes that are good, as [Pass.Held] tells, than slots. A pass ends, by its own clock, a third of
//     the lease time before anybody else may take it for void.
//   - Who has died gives way: a holder after the lease time, who waits in the queue after half of it. Clocks
//     of different machines are never compared.
//   - An outage of the API server lets nobody in. Passes are lost by it, since nobody can know how long it lasts. But when the
//     server is back, the holders are heard before they are taken for dead: who has begun to act stays
//     alone with it.
//   - Who comes again with the identity of a holder, after a crash, has the holder's pass at once.
//   - What was stopped stays so until who stopped it has entered again and left well, or a person takes the mark away.
//   - A Lease that is deleted is put back as it was last seen, without what had stopped the gate. One that is edited by
//     hand is obeyed. Annotations that cannot be read let nobody in too early.
//   - Nothing is asked of the server while nobody wants in: no watch, no poll.
//   - Of all callers of [Claim] with a name, one ever is the first.
//
// # What is not promised
//
// A holder who is cut off from the server alone, in the midst of acting, knows that he is, and the others go on without him
// after the lease time. Two processes that bear the same identity at once may both have a good pass for a moment, or
// until the deadline when the first is cut off. A process that is suspended between Held and what it then does acts
// late. Monotonic clocks are taken to run at the same rate, give or take a third.
package gate
