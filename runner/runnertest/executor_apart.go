package runnertest

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nbpress/runner"
	"nbpress/runner/internal/render"
)

// This file holds the rows about what a notebook can see of the agent and of others.

// secret is something that no notebook may come across.
type secret struct{ value string }

// newSecret makes a secret that the test process also has in a file, held open.
func newSecret(t *testing.T) secret {
	s := secret{value: rand.Text()}
	path := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(path, []byte(s.value), 0o600))
	file, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { file.Close() })
	return s
}

// python returns an expression for the secret that does not contain it.
func (s secret) python(tr *trial) string {
	reversed := []byte(s.value)
	slices.Reverse(reversed)
	return tr.python(string(reversed)) + "[::-1]"
}

// search defines search(needle): it looks through all that a process can read, but
// for what the system and the interpreter are made of.
const search = `
import glob, os, stat, sys
skip = {'/proc', '/sys', '/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', sys.prefix, sys.base_prefix}
def holds(path, needle, limit=1 << 20):
    try:
        if path.startswith('/proc') or stat.S_ISREG(os.stat(path).st_mode):
            with open(path, 'rb', opener=lambda p, f: os.open(p, f | os.O_NONBLOCK)) as file:
                return needle in file.read(limit)
    except OSError:
        pass
    return False
def search(text):
    needle = text.encode()
    found = [f'os.environ {k}' for k, v in os.environ.items() if text in v]
    for fd in glob.glob('/proc/[0-9]*/fd/*'):
        try:
            kind = os.stat(fd).st_mode
        except OSError:
            continue
        if stat.S_ISREG(kind) and holds(fd, needle):
            found.append(fd)
    for name in ('environ', 'cmdline', 'mountinfo'):
        found += [p for p in glob.glob('/proc/[0-9]*/' + name) if holds(p, needle)]
    for folder, folders, files in os.walk('/'):
        folders[:] = [f for f in folders if os.path.join(folder, f) not in skip]
        found += [p for p in (os.path.join(folder, f) for f in files) if holds(p, needle)]
    return found
`

// nothingInside also proves that the search finds what is there.
func nothingInside(tr *trial, agents secret) {
	env := map[string]string{"GREETING": "hello = 'world'\nünïcode $HOME", "EMPTY": ""}
	box := tr.start(env)
	box.put(map[string]string{"needle.txt": "a needle in the work folder"})
	box.passes(`
import os
assert os.environ['GREETING'] == ` + tr.python(env["GREETING"]) + ` and os.environ['EMPTY'] == ''
assert not [k for k, v in os.environ.items() if ` + agents.python(tr) + ` in v]
assert os.environ['HOME'] != os.getcwd() and os.access(os.environ['HOME'], os.W_OK)
`)
	if tr.options.Trusting {
		return
	}
	box.passes(search + `
os.environ['OWN'] = 'need' + 'le'
found = search('need' + 'le')
assert 'os.environ OWN' in found and any(f.endswith('/needle.txt') for f in found), found
found = search(` + agents.python(tr) + `)
assert not found, found
`)
}

// neighbours has one sandbox look for another while that runs.
func neighbours(tr *trial) {
	if tr.options.Trusting {
		return
	}
	theirs := newSecret(tr.T)
	box := tr.start(map[string]string{"TOKEN": theirs.value})
	box.put(map[string]string{"data.txt": theirs.value})
	conn, wait := box.holds(`
import os, subprocess
for folder in (os.environ['HOME'], '/tmp', '/dev/shm'):
    open(folder + '/token', 'w').write(os.environ['TOKEN'])
sleeper = subprocess.Popen(['sh', '-c', 'sleep 600 # ' + os.environ['TOKEN']])
`)
	other := tr.start(nil)
	other.put(nil)
	other.passes(search + `
found = search(` + theirs.python(tr) + `)
assert not found, found
import socket
if ` + tr.python(conn.Transport) + ` == 'ipc':  # over TCP the key is what keeps others out
    for port in ` + tr.python([]int{conn.ShellPort, conn.ControlPort, conn.IOPubPort}) + `:
        try:
            socket.socket(socket.AF_UNIX).connect(` + tr.python(conn.IP) + ` + f'-{port}')
        except OSError:
            continue
        assert False, 'the neighbour listens'
`)
	must(tr.T, box.StopKernel(tr.Context()))
	wait()
}

// secretsApart gives the loader of programs an order by a secret, which only those
// programs follow that have it in their environment.
func secretsApart(tr *trial) {
	const order, followed = "LD_DEBUG", "runtime linker statistics"
	database := newSecret(tr.T)
	spec := tr.spec(map[string]string{"BOTH": "env"})
	spec.Secrets = map[string]string{"DB_URL": database.value, "BOTH": "secret", order: "statistics"}
	box := tr.startSpec(tr.Context(), spec)
	box.put(nil)
	box.passes(search + `
import subprocess
database = ` + database.python(tr) + `
assert os.environ['DB_URL'] == database
assert os.environ['BOTH'] == 'secret'
shown = [p for p in glob.glob('/proc/[0-9]*/cmdline') if holds(p, database.encode())]
assert not shown, shown
told = subprocess.run([sys.executable, '-c', ''], stderr=subprocess.PIPE).stderr
assert b'` + followed + `' in told, told
`)
	var stderr strings.Builder
	result, err := render.Pages(tr.Context(), overheard{box, &stderr}, render.Request{
		Template: "t", Files: map[string][]byte{"t": []byte("Hello")},
		Executions: []render.Execution{{Output: []byte(`{}`), Languages: []string{"en"}}},
	})
	if err != nil || string(result.Pages["en"]) != "Hello" {
		tr.Errorf("rendered %q, %v", result.Pages, err)
	}
	if strings.Contains(stderr.String(), followed) {
		tr.Errorf("the renderer has the secrets; it wrote %q", stderr.String())
	}
}

// overheard is a renderer whose standard error is written down.
type overheard struct {
	runner.Sandbox
	stderr io.Writer
}

func (o overheard) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	return o.Sandbox.Render(ctx, stdin, stdout, io.MultiWriter(stderr, o.stderr))
}
