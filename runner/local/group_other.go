//go:build unix && !linux

package local

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithUs has no counterpart here: a kernel outlives an agent that is killed.
func dieWithUs(*syscall.SysProcAttr) {}

// awaitExit cannot tell without giving the child's number back.
func awaitExit(int) bool { return false }

// throughFile has no counterpart here.
func throughFile(*os.File) (string, bool) { return "", false }

// runs reports whether a process group has members, those included that ended and were
// not waited for.
func runs(pid int) bool { return unix.Kill(-pid, 0) == nil }
