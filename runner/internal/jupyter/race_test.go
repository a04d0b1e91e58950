//go:build race

package jupyter

// The race detector makes messages and the collector's work take many times as long.
const (
	million     = 20_000
	collectAt   = 100 // percent of the heap; so up to a heap of what nobody holds is measured, too
	heapLimit   = 2 * 64e6
	smallFloods = 140_000 // messages
)
