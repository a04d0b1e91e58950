//go:build unix && !linux

package local

import (
	"os"
	"syscall"
)

// dieWithUs has no counterpart here: a kernel outlives an agent that is killed.
func dieWithUs(*syscall.SysProcAttr) {}

// awaitExit cannot tell without giving the child's number back.
func awaitExit(int) bool { return false }

// throughFile has no counterpart here.
func throughFile(*os.File) (string, bool) { return "", false }
