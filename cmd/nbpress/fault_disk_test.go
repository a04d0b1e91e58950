//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a small file system of memory at a folder of a rig.
type disk struct {
	t   *testing.T
	dir string
}

// mount puts a disk at a folder of the rig, before agents use it.
func (r *rig) mount(folder string) *disk {
	r.t.Helper()
	d := &disk{r.t, filepath.Join(r.root, folder)}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := unix.Mount("none", d.dir, "tmpfs", 0, "size=4m"); err != nil {
		r.t.Fatalf("mount a tmpfs: %v; this test needs a machine where root may mount", err)
	}
	r.t.Cleanup(func() {
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			r.t.Error(err)
		}
	})
	return d
}

func (d *disk) filler() string { return filepath.Join(d.dir, ".filler") }

// fill leaves no room.
func (d *disk) fill() {
	d.t.Helper()
	file, err := os.Create(d.filler())
	for size := 1 << 20; err == nil && size > 0; size /= 2 {
		for err == nil {
			_, err = file.Write(make([]byte, size))
		}
		if errors.Is(err, unix.ENOSPC) {
			err = nil
		}
	}
	if err := errors.Join(err, file.Close()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) free() {
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatal(err)
	}
}

// remount makes the disk read-only, or not. It has to wait for who is writing.
func (r *rig) remount(d *disk, flags uintptr) {
	r.t.Helper()
	r.until("remounted", func() bool {
		err := unix.Mount("none", d.dir, "", unix.MS_REMOUNT|flags, "size=4m")
		if err != nil && !errors.Is(err, unix.EBUSY) {
			r.t.Fatal(err)
		}
		return err == nil
	})
}

// TestFaults_Disks: a disk is full, or read-only, for a while. The agent stays, says
// why, and goes on when the disk is well again.
func TestFaults_Disks(t *testing.T) {
	needFaults(t)
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	full := func(_ *rig, d *disk) func() { d.fill(); return d.free }
	readOnly := func(r *rig, d *disk) func() {
		r.remount(d, unix.MS_RDONLY)
		return func() { r.remount(d, 0) }
	}
	for _, test := range []struct {
		name, folder string
		hurt         func(*rig, *disk) (heal func())
		says         string
	}{
		{"store full", "store", full, "no space left on device"},
		{"store read-only", "store", readOnly, "read-only file system"},
		{"state full", "state-first", full, "no space left on device"},
		{"mirror read-only", "state-first/reports.git", readOnly, "read-only file system"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 6)
			d := r.mount(test.folder)
			p := r.start("first", nil)
			p.said("run finished", 0)
			place := p.said("attempt started", 0)
			heal := test.hurt(r, d)
			r.touch() // a commit that the mirror has to take in
			place = p.said(test.says, place)
			select {
			case <-p.ended:
				t.Fatalf("the agent ended: %v", p.err)
			case <-time.After(3 * time.Second): // some more of it
			}
			heal()
			healed := time.Now()
			p.said("run finished", place)
			t.Logf("runs finish %v after the disk is well", time.Since(healed).Round(time.Second))
			r.until("all is done", r.done)
			p.said(`msg="commit planned" commit=`+r.head()[:12], 0)
			p.stop()
			r.judge()
		})
	}
}

// touch makes a commit on main that changes nothing.
func (r *rig) touch() {
	r.t.Helper()
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"--git-dir", r.bare, "-c", "user.name=Ada", "-c", "user.email=ada@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.Output()
		if err != nil {
			r.t.Fatalf("%v: %v", cmd, err)
		}
		return string(bytes.TrimSpace(out))
	}
	git("update-ref", "refs/heads/main", git("commit-tree", "-p", "main", "-m", "Touch", "main^{tree}"))
}

// head returns the newest commit of the reports.
func (r *rig) head() string {
	r.t.Helper()
	out, err := exec.Command("git", "--git-dir", r.bare, "rev-parse", "main").Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return string(bytes.TrimSpace(out))
}
