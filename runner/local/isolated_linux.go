package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"nbpress/runner"
)

// nobody is the user and group that programs run as when we are root: a number that
// owns nothing else, the one that distroless images call nonroot.
const nobody = 65532

// isolating returns the ways to isolate that this user may have, the best first. For
// root each of them runs programs as nobody: the owner of /proc/sys and of so much else
// is root even without a capability, in whatever namespace. Where root may not become
// nobody there is no way.
func isolating(base isolation) []spawner {
	if len(base.init) == 0 {
		return nil
	}
	if os.Geteuid() != 0 {
		return []spawner{namespaceSpawner{isolation: base, name: "user namespace", userNS: true}}
	}
	return []spawner{
		namespaceSpawner{isolation: base, name: "user namespace as root", userNS: true, drop: true},
		namespaceSpawner{isolation: base, name: "namespaces as root", drop: true}, // containers allow no more, at times
	}
}

// namespaceSpawner runs programs in namespaces of their own, below Init.
type namespaceSpawner struct {
	isolation
	name   string
	userNS bool // in a user namespace: limits and capabilities are its own
	drop   bool // we are root, programs run as nobody; else they run as ourselves
}

func (s namespaceSpawner) String() string { return s.name }

func (s namespaceSpawner) own(path string) error {
	if !s.drop {
		return nil
	}
	return os.Lchown(path, nobody, nobody)
}

// inside implements spawner: names that no machine's interpreter lies below, but for
// /tmp, which programs take for granted.
func (s namespaceSpawner) inside(_, name string) string {
	if name == tmpDir {
		return "/tmp"
	}
	return "/nbpress/" + name
}

func (s namespaceSpawner) start(p program) (*process, error) {
	config, err := json.Marshal(s.configFor(p))
	if err != nil {
		return nil, err
	}
	lifelineR, lifeline, err := os.Pipe() // Init ends when our end is closed, by us or by our death
	if err != nil {
		return nil, err
	}
	statusR, statusW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, lifelineR.Close(), lifeline.Close())
	}
	cmd := exec.Command(s.init[0], s.init[1:]...)
	cmd.Env = []string{"GOMAXPROCS=1"} // and nothing of ours
	cmd.Dir, cmd.WaitDelay = "/", pipeGrace
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.stdin, p.stdout, p.stderr
	cmd.ExtraFiles = []*os.File{lifelineR, statusW}
	cmd.SysProcAttr = s.attributes(p.network)
	err = cmd.Start()
	err = errors.Join(err, lifelineR.Close(), statusW.Close())
	if err != nil {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		return nil, errors.Join(err, lifeline.Close(), statusR.Close())
	}
	kill := func() { _ = cmd.Process.Kill() } // PID 1 of its namespace: the kernel kills the rest
	proc := &process{kill: kill, ended: make(chan struct{}), done: make(chan struct{})}
	go func() { // ends with the program, which proc's owner waits for
		defer func() { // no process of it is left that could hold its output
			proc.exit = proc.death
			close(proc.ended)
			close(proc.done)
		}()
		defer statusR.Close()
		defer lifeline.Close()
		if err := p.prepared(); err != nil {
			kill()
			_ = cmd.Wait()
			proc.death = runner.Death{Code: runner.Internal, Message: err.Error()}
			return
		}
		_, _ = lifeline.Write(config) // fails where Init is gone, and its end says why
		proc.death = s.readStatus(statusR, cmd.Wait())
	}()
	return proc, nil
}

func (s namespaceSpawner) attributes(network bool) *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Setsid:     true, // no controlling terminal
	}
	if !network {
		attributes.Cloneflags |= unix.CLONE_NEWNET
	}
	if !s.userNS {
		return attributes
	}
	attributes.Cloneflags |= unix.CLONE_NEWUSER
	users, groups := syscall.SysProcIDMap{HostID: os.Getuid(), Size: 1}, syscall.SysProcIDMap{HostID: os.Getgid(), Size: 1}
	if s.drop { // everybody is who they are
		users, groups = syscall.SysProcIDMap{Size: 1<<32 - 1}, syscall.SysProcIDMap{Size: 1<<32 - 1}
		attributes.GidMappingsEnableSetgroups = true
	}
	attributes.UidMappings, attributes.GidMappings = []syscall.SysProcIDMap{users}, []syscall.SysProcIDMap{groups}
	return attributes
}

// readStatus prefers Init's word on how the program ended to how Init ended.
func (s namespaceSpawner) readStatus(r io.Reader, err error) runner.Death {
	var status initStatus
	if json.NewDecoder(io.LimitReader(r, 64<<10)).Decode(&status) != nil {
		return deathOf(err)
	}
	switch {
	case status.Error != "":
		return runner.Death{Code: runner.Internal, Message: status.Error}
	case status.Signal != 0:
		death := runner.Death{Code: runner.KernelDied, Message: fmt.Sprintf("signal: %v", unix.Signal(status.Signal))}
		if status.Signal == int(unix.SIGKILL) {
			death.Message += " (nobody asked for it: the machine may have run out of memory)"
		}
		return death
	case status.Exit != 0:
		return runner.Death{Code: runner.KernelDied, Message: fmt.Sprintf("exit status %d", status.Exit)}
	}
	return runner.Death{Message: "exit status 0"}
}

// configFor lists what the program's root file system shows.
func (s namespaceSpawner) configFor(p program) initConfig {
	c := initConfig{
		Root: filepath.Join(p.box, rootDir), Dir: p.dir, Argv: p.argv, Env: p.env, Processes: uint64(s.processes),
	}
	if s.drop {
		c.UID, c.GID = nobody, nobody
	}
	folders := []string{workDir, homeDir, tmpDir, socketDir}
	if p.rendering {
		folders = []string{renderDir, homeDir, tmpDir}
	}
	for _, name := range folders {
		c.Mounts = append(c.Mounts, bind{From: filepath.Join(p.box, name), To: s.inside(p.box, name), Writable: true})
	}
	for _, path := range s.shows() {
		c.Mounts = append(c.Mounts, mountsFor(path)...)
	}
	return c
}

// shows returns what every program sees of the machine, if it exists.
func (s namespaceSpawner) shows() []string { return slices.Concat(systemFolders[:], s.python.Folders) }

// systemFolders is what interpreters and their libraries need of the system, and
// what reports need to reach their data: names, certificates, zones and fonts.
var systemFolders = [...]string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64",
	"/etc/alternatives", "/etc/ca-certificates", "/etc/fonts", "/etc/ssl", "/etc/pki",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
	"/etc/group", "/etc/passwd", "/etc/nsswitch.conf", "/etc/hosts", "/etc/host.conf", "/etc/resolv.conf",
	"/var/cache/fontconfig", "/etc/gai.conf", "/etc/services", "/etc/protocols", "/etc/localtime", "/etc/timezone", "/etc/mime.types",
}

// mountsFor shows a path of the system read-only, and what it links to under its own
// name; nothing where it does not exist.
func mountsFor(path string) []bind {
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return []bind{{From: path, To: path}}
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	return []bind{{From: target, To: path}}
}
