//go:build !race

package jupyter

const (
	million     = 1_000_000
	collectAt   = 10   // percent of the heap, for little else to be measured than what is held
	heapLimit   = 64e6 // by how much a peer may make the heap grow
	smallFloods = 150_000
)
