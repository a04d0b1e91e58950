// Package lease decides which of several agents with one store works: who has the lease,
// an object of the store that its holder writes again and again. The others look at it,
// and one of them takes it when it has stood still. Nobody compares clocks: what counts is
// how many looks in a row saw no change.
//
// [Elect] makes an [Election] for one agent, which lives as long as its process. Await or
// Seize gets it the lease, which begins a [Reign]; Keep renews it until it is lost or given
// back by End. After that the agent may compete again.
//
// The lease avoids waste, no more: for a moment two agents may each think that it is
// theirs. That nothing is lost or doubled is the doing of claims and manifests.
package lease
