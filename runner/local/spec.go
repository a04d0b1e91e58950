package local

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/local/kernelspec"
)

// StartSpec starts an installed kernel in folder dir as Jupyter would: over TCP, as the
// user, with their environment and with what the kernel's own kernel.json adds. It returns
// before the kernel listens. The kernel must be closed.
func StartSpec(ctx context.Context, spec kernelspec.Spec, dir string) (*Kernel, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k, err := startSpec(spec, dir, os.Environ())
	if err != nil {
		return nil, fmt.Errorf("start kernel %s: %w", spec.Name, err)
	}
	return k, nil
}

func startSpec(spec kernelspec.Spec, dir string, environ []string) (_ *Kernel, err error) {
	private, err := os.MkdirTemp("", "nbpress-")
	if err != nil {
		return nil, err
	}
	k := &Kernel{dir: private, log: newTail(logTail)}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.removeFiles())
		}
	}()
	if k.dir, err = filepath.EvalSymlinks(private); err != nil { // as Jupyter names it
		return nil, err
	}
	if k.ports, err = takePorts(); err != nil {
		return nil, err
	}
	n := k.ports.numbers
	k.Connection = jupyter.Connection{
		Transport: "tcp", IP: "127.0.0.1",
		ShellPort: n[0], IOPubPort: n[1], StdinPort: n[2], ControlPort: n[3], HBPort: n[4],
		Key: rand.Text(), SignatureScheme: "hmac-sha256", KernelName: spec.Name,
	}
	connection := filepath.Join(k.dir, "connection.json")
	if err := os.WriteFile(connection, k.Connection.File(), 0o600); err != nil { // ipykernel writes it once more
		return nil, err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "~"
	}
	environ = append(spec.Environ(environ), "JPY_PARENT_PID="+strconv.Itoa(os.Getpid())) // kernels end when we do, also where the system cannot see to it
	argv := spec.Command(connection, home)
	if len(argv) == 0 {
		return nil, fmt.Errorf("%s names no program (argv)", filepath.Join(spec.Dir, "kernel.json"))
	}
	if argv[0], err = findProgram(argv[0], environ, dir); err != nil {
		return nil, fmt.Errorf("%w (%s): install the kernel again, or take another one", err, filepath.Join(spec.Dir, "kernel.json"))
	}
	k.proc, err = groupSpawner{}.start(program{argv: argv, env: environ, dir: dir, stdout: k.log, stderr: k.log})
	if err != nil {
		return nil, err
	}
	k.Died = k.proc.died()
	if spec.Interrupt == kernelspec.BySignal {
		k.Interrupt = k.proc.interrupt
	}
	return k, nil
}

// findProgram returns the path of a program as it is found by one that runs in folder dir
// in an environment, whose $PATH need not be ours.
func findProgram(name string, environ []string, dir string) (string, error) {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		path := "/bin:/usr/bin"
		for _, pair := range environ {
			if value, ok := strings.CutPrefix(pair, "PATH="); ok {
				path = value
			}
		}
		candidates = nil
		for _, folder := range filepath.SplitList(path) {
			candidates = append(candidates, filepath.Join(folder, name))
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for _, path := range candidates {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no program %s", name)
}

// environmentScript tells a kernelspec.Environment.
const environmentScript = `
import json, site, sys
print(json.dumps({
    "Python": sys.executable, "Version": "%d.%d" % sys.version_info[:2],
    "Prefix": sys.prefix, "Virtual": sys.prefix != sys.base_prefix,
    "UserBase": site.getuserbase() if site.ENABLE_USER_SITE else "", "Path": [p for p in sys.path if p],
}))
`

// FindEnvironment returns the Python environment whose kernels are found: that of an
// interpreter, which is run only if its files do not tell. "" means python3 of $PATH; where
// there is none, other kernels are found without it.
func FindEnvironment(ctx context.Context, python string, lookup kernelspec.Lookup) (kernelspec.Environment, error) {
	wanted := python
	if wanted == "" {
		wanted = "python3"
	}
	path, err := exec.LookPath(wanted)
	if err != nil {
		if python == "" {
			return kernelspec.Environment{}, nil
		}
		return kernelspec.Environment{}, fmt.Errorf("%w: %w", ErrNoPython, err)
	}
	environment, err := kernelspec.EnvironmentOf(path, lookup)
	if !errors.Is(err, kernelspec.ErrUntold) {
		return environment, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-c", environmentScript)
	cmd.WaitDelay = pipeGrace
	out, err := cmd.Output()
	if err != nil {
		return environment, fmt.Errorf("%w: run %s: %w%s", ErrNoPython, path, err, lastWords(err))
	}
	if err := json.Unmarshal(out, &environment); err != nil {
		return environment, fmt.Errorf("%w: %s answers %q", ErrNoPython, path, out)
	}
	return environment, nil
}
