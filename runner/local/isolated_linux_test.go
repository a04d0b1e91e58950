package local

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nbpress/internal/testenv"
)

// TestIsolating_EachWayIsolates also tries the ways that are second best here.
func TestIsolating_EachWayIsolates(t *testing.T) {
	python, err := findPython(t.Context(), testenv.Python(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, spawn := range isolating(isolation{init: []string{"/proc/self/exe", "sandbox-init"}, python: python, processes: 500}) {
		t.Run(spawn.String(), func(t *testing.T) {
			e := &Executor{python: python, dir: t.TempDir(), spawn: spawn}
			if err := os.Chmod(e.dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := e.try(t.Context(), spawn); err != nil {
				t.Skip("this machine refuses:", err)
			}
			box, err := e.newSandbox("box", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer box.Close(t.Context())
			var out strings.Builder
			p := box.program([]string{python.Executable, "-I", "-c", `
import os, resource
status = open('/proc/self/status').read()
assert os.getpid() < 20 and os.listdir('/nbpress/work') == []
assert 'CapEff:\t0000000000000000' in status and 'CapBnd:\t0000000000000000' in status and 'NoNewPrivs:\t1' in status, status
assert resource.getrlimit(resource.RLIMIT_NPROC) == (500, 500)
assert not os.path.exists('/etc/shadow')
open('written', 'w').close()
`})
			p.stdout, p.stderr = &out, &out
			if err := box.run(t.Context(), p); err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
			info, err := os.Stat(box.dir + "/work/written")
			if err != nil {
				t.Fatal(err)
			}
			want := os.Getuid()
			if spawn.(namespaceSpawner).drop {
				want = nobody
			}
			if got := ownerOf(info); got != want {
				t.Errorf("the program ran as user %d, want %d", got, want)
			}
		})
	}
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
