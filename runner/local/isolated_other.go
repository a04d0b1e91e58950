//go:build !linux

package local

// isolating returns nothing: namespaces are Linux's.
func isolating(isolation) []spawner { return nil }

// Init is never called where there are no namespaces.
func Init() int { return 2 }
