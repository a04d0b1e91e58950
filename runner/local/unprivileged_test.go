//go:build linux

package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nbpress/internal/testenv"
	"nbpress/runner"
	"nbpress/runner/local"
)

// overflowUser is a user that owns nothing.
const overflowUser = 65534

// TestUnprivilegedUser runs the tests of isolation once more for an ordinary user,
// who needs a user namespace. A test run of an ordinary user has done so already.
func TestUnprivilegedUser_IsolatesToo(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this test run is unprivileged: the other tests say it")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "unprivileged", testenv.Python(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) {
		t.Skip("this machine allows no mount namespaces")
	}
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	if !strings.Contains(string(out), "local, user namespace\n") {
		t.Error("user namespaces are not proven here: the machine refuses them to ordinary users")
	}
}

// runUnprivileged shows an interpreter to everybody, in a mount namespace of its own,
// and runs tests as an ordinary user.
func runUnprivileged(python string) int {
	if err := showInterpreter(python); err != nil {
		fmt.Println("show the interpreter:", err)
		return 1
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestIsolated", "-test.v", "-test.timeout=2m")
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", os.Stdout, os.Stderr
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "TMPDIR=/tmp", "NBPRESS_TEST_PYTHON=" + python}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: overflowUser, Gid: overflowUser},
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := cmd.Run(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// showInterpreter covers each folder that is closed to others by one that shows what
// the interpreter reads in it, and no more.
func showInterpreter(python string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	out, err := exec.Command(python, "-I", "-c", "import json, sys; print(json.dumps([sys.prefix, sys.base_prefix]))").Output()
	if err != nil {
		return err
	}
	var folders []string
	if err := json.Unmarshal(out, &folders); err != nil {
		return err
	}
	opened := map[string]*os.File{}
	for _, folder := range folders {
		if opened[folder], err = os.Open(folder); err != nil {
			return err
		}
		defer opened[folder].Close()
	}
	for folder, file := range opened {
		if err := showFolder(folder, file); err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
	}
	return nil
}

func showFolder(folder string, file *os.File) error {
	closed := closedAncestor(folder)
	if closed != "" {
		if err := unix.Mount("tmpfs", closed, "tmpfs", 0, "mode=0755"); err != nil {
			return err
		}
	}
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), folder, "", unix.MS_BIND|unix.MS_REC, "")
}

// closedAncestor returns the topmost folder on the way that others cannot pass.
func closedAncestor(path string) string {
	if path == "/" {
		return ""
	}
	if above := closedAncestor(filepath.Dir(path)); above != "" {
		return above
	}
	if info, err := os.Stat(path); err != nil || info.Mode()&0o001 != 0 {
		return ""
	}
	return path
}

// losePower becomes another program without the capabilities that root needs to become
// somebody else and to mount.
func losePower(argv []string) int {
	runtime.LockOSThread() // the bounding set is a thread's
	for _, capability := range []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETUID, unix.CAP_SETGID} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			fmt.Fprintln(os.Stderr, "drop a capability:", err)
			return 1
		}
	}
	fmt.Fprintln(os.Stderr, syscall.Exec(argv[0], argv, os.Environ()))
	return 1
}

// nameSandbox says how a sandbox is isolated.
func nameSandbox(dir, python string) int {
	e, err := local.New(context.Background(), local.Options{Python: python, Dir: dir, Init: selfInit, Log: textLog(os.Stderr)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	sandbox, err := e.Start(context.Background(), runner.Spec{Run: "named", Generation: 1, Attempt: 1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer sandbox.Close(context.Background())
	fmt.Println(sandbox)
	return 0
}
