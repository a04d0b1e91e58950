package local

import (
	"errors"
	"fmt"
	"os"
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
