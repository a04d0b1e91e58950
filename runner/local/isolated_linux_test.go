package local

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"nbpress/internal/testenv"
)

// eachWay tries every way of isolation, the ones that are second best here as well.
func eachWay(t *testing.T, try func(t *testing.T, e *Executor)) {
	t.Helper()
	python, err := findPython(t.Context(), testenv.Python(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, spawn := range isolating(isolation{init: []string{"/proc/self/exe", "sandbox-init"}, python: python, processes: 500}) {
		t.Run(spawn.String(), func(t *testing.T) {
			e := &Executor{python: python, dir: t.TempDir(), spawn: spawn, log: slog.New(slog.NewTextHandler(t.Output(), nil))}
			if err := os.Chmod(e.dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := e.try(t.Context(), spawn); err != nil {
				t.Skip("this machine refuses:", err)
			}
			try(t, e)
		})
	}
}

// succeeds runs a Python program in a new sandbox, and returns the sandbox's folder.
func succeeds(t *testing.T, e *Executor, code string) string {
	t.Helper()
	box, err := e.newSandbox("box", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	var out bytes.Buffer
	p := box.program([]string{e.python.Executable, "-I", "-c", code})
	p.stdout, p.stderr = &out, &out
	if err := box.run(t.Context(), p); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	return box.dir
}

//go:embed testdata/escape.py
var escape string

func TestIsolated_HoldsInEachWay(t *testing.T) {
	eachWay(t, func(t *testing.T, e *Executor) {
		box := succeeds(t, e, escape)
		info, err := os.Stat(box + "/work/written")
		if err != nil {
			t.Fatal(err)
		}
		want := os.Getuid()
		if want == 0 { // the owner of /proc/sys needs no capability
			want = nobody
		}
		if got := ownerOf(info); got != want {
			t.Errorf("the program ran as user %d, want %d", got, want)
		}
	})
}

func TestIsolated_HasAKeyringOfItsOwn(t *testing.T) {
	look := fmt.Sprintf(`
import ctypes
found = ctypes.CDLL(None).syscall(%d, %d, %d, b'user', b'nbpress-test', 0)
assert found == -1, found
`, unix.SYS_KEYCTL, unix.KEYCTL_SEARCH, unix.KEY_SPEC_SESSION_KEYRING)
	eachWay(t, func(t *testing.T, e *Executor) {
		runtime.LockOSThread() // keyrings are a thread's; this one ends with the test
		if _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); err != nil {
			t.Skip("this machine has no keyrings for us:", err)
		}
		if _, err := unix.AddKey("user", "nbpress-test", []byte("secret"), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
			t.Fatal(err)
		}
		succeeds(t, e, look)
	})
}

func TestRemount_IsReadOnlyBeforeLinux512Too(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("an ordinary user may not mount")
	}
	target := t.TempDir()
	if err := unix.Mount(target, target, "", unix.MS_BIND, ""); err != nil {
		t.Skip("this machine refuses:", err)
	}
	defer func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	if err := (bind{}).remount(target); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target+"/file", nil, 0o600); err == nil {
		t.Error("the mount takes files")
	}
}

// A folder that cannot be removed, for now, keeps its lock: the next agent tries again.
func TestRemoveBox_LeavesTheLockForTheEnd(t *testing.T) {
	box := t.TempDir()
	for _, name := range []string{"kernel", "work", "zone"} {
		if err := os.Mkdir(filepath.Join(box, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(lockPath(box), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", filepath.Join(box, "work"), "tmpfs", 0, ""); err != nil {
		t.Skipf("only root can hold a folder so that it stays: %v", err)
	}
	err := removeBox(box)
	if unmountErr := unix.Unmount(filepath.Join(box, "work"), 0); unmountErr != nil {
		t.Fatal(unmountErr)
	}
	if _, lockErr := os.Stat(lockPath(box)); err == nil || lockErr != nil {
		t.Errorf("removing gave %v; of the lock: %v", err, lockErr)
	}
	if err := removeBox(box); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(box); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}
