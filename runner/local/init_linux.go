package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The file descriptors that Init inherits.
const (
	lifelineFD = 3 // the configuration, then nothing until the agent is gone
	statusFD   = 4 // where Init says how the program ended
)

// initConfig tells Init what to do.
type initConfig struct {
	Root     string // an empty folder to mount the new root on
	Mounts   []bind
	Dir      string
	Argv     []string
	Env      []string
	UID, GID int // 0: stay who we are

	Processes uint64 // the limit on processes and threads
}

// bind shows From of the machine as To of the sandbox.
type bind struct {
	From, To string
	Writable bool
}

// initStatus is how the program ended.
type initStatus struct {
	Exit   int
	Signal int
	Error  string // it could not be started
}

// Init is PID 1 of a sandbox: it makes the root file system, starts the program,
// reaps orphans and ends with the program or with the agent, whichever is first. It
// must be called before anything else in a process that an Executor started through
// Options.Init, and returns the exit status.
func Init() int {
	runtime.LockOSThread() // capabilities and the bounding set are a thread's
	unix.CloseOnExec(lifelineFD)
	unix.CloseOnExec(statusFD)
	lifeline, status := os.NewFile(lifelineFD, "lifeline"), os.NewFile(statusFD, "status")
	var config initConfig
	if err := json.NewDecoder(lifeline).Decode(&config); err != nil {
		fmt.Fprintln(os.Stderr, "this command is nbpress's own, for its sandboxes:", err)
		return 2
	}
	go func() {
		_, _ = io.Copy(io.Discard, lifeline) // until the agent closes it or dies
		os.Exit(1)
	}()
	result := config.run()
	if err := json.NewEncoder(status).Encode(result); err != nil {
		return 1
	}
	return result.Exit
}

func (c initConfig) run() initStatus {
	if err := c.enter(); err != nil {
		return initStatus{Error: err.Error()}
	}
	pid, err := c.exec()
	if err != nil {
		return initStatus{Error: fmt.Sprintf("start %s: %v", c.Argv[0], err)}
	}
	for {
		var ws syscall.WaitStatus
		child, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return initStatus{Error: fmt.Sprintf("wait: %v", err)}
		case child == pid && ws.Exited():
			return initStatus{Exit: ws.ExitStatus()}
		case child == pid && ws.Signaled():
			return initStatus{Signal: int(ws.Signal())}
		}
	}
}

// exec starts the program without any capability and without a way to get one.
func (c initConfig) exec() (int, error) {
	for _, limit := range []struct {
		resource int
		value    uint64
	}{
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_NPROC, c.Processes},
		{unix.RLIMIT_FSIZE, 4 << 30},
	} {
		r := unix.Rlimit{Cur: limit.value, Max: limit.value}
		if err := unix.Setrlimit(limit.resource, &r); err != nil && !errors.Is(err, unix.EPERM) { // EPERM: already lower
			return 0, fmt.Errorf("limit: %w", err)
		}
	}
	for capability := range uintptr(64) {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			break // EINVAL: past the last one
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("no new privileges: %w", err)
	}
	if err := leaveKeyring(); err != nil {
		return 0, fmt.Errorf("leave the agent's keyring: %w", err)
	}
	attributes := &syscall.SysProcAttr{}
	if c.UID != 0 {
		attributes.Credential = &syscall.Credential{Uid: uint32(c.UID), Gid: uint32(c.GID)}
	}
	return syscall.ForkExec(c.Argv[0], c.Argv, &syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: []uintptr{0, 1, 2}, Sys: attributes,
	})
}

// leaveKeyring joins a new session keyring, one without a name that others could join
// it by: the agent's may hold credentials of its user.
func leaveKeyring() error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return nil // there are no keyrings, or a filter keeps all of them from us, and from the program
	}
	return err
}

// The folders of the file system that Init mounts.
const (
	programRoot = "/root"  // the program's root
	maskFolder  = "/empty" // shown in place of folders
)

// enter replaces the root file system by one that holds the mounts and little else.
//
// The program's root is a folder of it and not the whole: a process whose root is not
// that of its mount namespace is refused user namespaces, in which it would have
// capabilities again (EPERM of unshare(2), since Linux 3.9). It has none to leave with.
func (c initConfig) enter() error {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", c.Root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=1m"); err != nil {
		return fmt.Errorf("mount a root: %w", err)
	}
	if err := c.fill(c.Root+programRoot, c.Root+maskFolder); err != nil {
		return err
	}
	if err := os.Chdir(c.Root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil { // the old root, stacked on the new
		return fmt.Errorf("leave the old root: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	if err := unix.Sethostname([]byte("sandbox")); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if err := unix.Chroot(programRoot); err != nil {
		return fmt.Errorf("enter the program's root: %w", err)
	}
	return os.Chdir("/")
}

// fill makes the program's root, and the empty folder that masks others.
func (c initConfig) fill(root, mask string) error {
	if err := errors.Join(os.Mkdir(root, 0o755), os.Mkdir(mask, 0o755)); err != nil {
		return err
	}
	for _, b := range c.Mounts {
		if err := b.mount(root); err != nil {
			return fmt.Errorf("show %s: %w", b.To, err)
		}
	}
	if err := mountSystem(root); err != nil {
		return err
	}
	if err := maskProc(filepath.Join(root, "proc"), mask); err != nil {
		return fmt.Errorf("mask /proc: %w", err)
	}
	return nil
}

// mountSystem mounts what no sandbox shares: processes, devices, shared memory.
func mountSystem(root string) error {
	proc := filepath.Join(root, "proc")
	if err := os.Mkdir(proc, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, device := range []string{"null", "zero", "full", "random", "urandom"} {
		b := bind{From: "/dev/" + device, To: "/dev/" + device, Writable: true}
		if err := b.mount(root); err != nil {
			return fmt.Errorf("show %s: %w", b.To, err)
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(target, filepath.Join(root, "dev", name)); err != nil {
			return err
		}
	}
	shm := filepath.Join(root, "dev", "shm")
	if err := os.Mkdir(shm, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", shm, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,size=256m"); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	return nil
}

// mount binds below root, once: a folder that an earlier mount shows already is left.
func (b bind) mount(root string) error {
	info, err := os.Stat(b.From)
	if err != nil {
		return err
	}
	target := filepath.Join(root, b.To)
	if !strings.HasPrefix(target, root+"/") {
		return fmt.Errorf("%s leaves the root", b.To)
	}
	if seen, err := os.Stat(target); err == nil && os.SameFile(seen, info) {
		return nil
	}
	if err := makeMountPoint(target, info.IsDir()); err != nil {
		return err
	}
	return b.over(target)
}

// over binds over a file or folder that is there.
func (b bind) over(target string) error {
	if err := unix.Mount(b.From, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	attributes := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}
	if !b.Writable {
		attributes.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	err := unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &attributes)
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.12
		return b.remount(target)
	}
	return err
}

// remount does to the mount itself what over does to those below it, too.
func (b bind) remount(target string) error {
	flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_NOSUID)
	if !b.Writable {
		flags |= unix.MS_RDONLY
	}
	var at unix.Statfs_t
	if err := unix.Statfs(target, &at); err != nil {
		return err
	}
	// A user namespace may not drop what its parent set; the values agree with MS_*.
	flags |= uintptr(at.Flags) & (unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY)
	if at.Flags&unix.ST_RELATIME != 0 {
		flags |= unix.MS_RELATIME
	}
	if at.Flags&unix.ST_NOATIME != 0 {
		flags |= unix.MS_NOATIME
	}
	return unix.Mount("", target, "", flags, "")
}

func makeMountPoint(target string, folder bool) error {
	if folder {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}
