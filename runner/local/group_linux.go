package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithUs has the program killed when the thread that starts it ends.
func dieWithUs(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = unix.SIGKILL }

// awaitExit returns true once the child ended; its number stays taken until it is
// waited for.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}

// throughFile returns a short path of an open folder, for this process alone.
func throughFile(folder *os.File) (string, bool) {
	return fmt.Sprintf("/proc/self/fd/%d", folder.Fd()), true
}

// runs reports whether a process group has members that have not ended.
func runs(pid int) bool {
	if unix.Kill(-pid, 0) != nil {
		return false
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return true // there is no telling
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var state string
		var parent, group int
		name := bytes.LastIndexByte(stat, ')') // the program's, which may hold anything
		if _, err := fmt.Sscan(string(stat[name+1:]), &state, &parent, &group); err == nil && group == pid && state != "Z" && state != "X" {
			return true
		}
	}
	return false
}
