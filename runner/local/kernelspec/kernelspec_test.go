package kernelspec_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nbpress/internal/testenv"
	"nbpress/runner/local/kernelspec"
)

// machine is a made-up machine for one test: a folder and an environment.
type machine struct {
	root   string
	python string
	env    map[string]string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{root: root, python: testenv.Python(t), env: map[string]string{}}
	if err := os.Mkdir(filepath.Join(root, "home"), 0o700); err != nil {
		t.Fatal(err)
	}
	return m.set("HOME", "{}/home").set("PATH", os.Getenv("PATH"))
}

// set sets a variable; {} stands for the machine's folder.
func (m *machine) set(name, value string) *machine {
	m.env[name] = strings.ReplaceAll(value, "{}", m.root)
	return m
}

func (m *machine) lookup(name string) (string, bool) {
	value, set := m.env[name]
	return value, set
}

func (m *machine) write(t *testing.T, path, text string) string {
	t.Helper()
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// kernels writes kernels that can be told from each other.
func (m *machine) kernels(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		m.write(t, dir+"/kernel.json", `{"argv": ["`+dir+`", "{connection_file}"], "display_name": "Made up", "language": "none"}`)
	}
}

func (m *machine) link(t *testing.T, target, path string) {
	t.Helper()
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// moduleFolder is where the packages of the tests' environment are.
func moduleFolder(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(testenv.Python(t))), "lib", "python3.*", "site-packages"))
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
	return found[0]
}

// venv makes a virtual environment with Jupyter's modules and without a kernel.json.
func (m *machine) venv(t *testing.T, options string) {
	t.Helper()
	program, err := filepath.EvalSymlinks(m.python)
	if err != nil {
		t.Fatal(err)
	}
	modules := moduleFolder(t)
	version := strings.TrimPrefix(filepath.Base(filepath.Dir(modules)), "python")
	m.link(t, program, "venv/bin/python")
	m.link(t, modules, "venv/lib/python"+version+"/site-packages")
	m.write(t, "venv/pyvenv.cfg", "home = "+filepath.Dir(program)+"\nversion = "+version+".0\n"+options)
	m.python = filepath.Join(m.root, "venv/bin/python")
}

// base takes the interpreter that the tests' environment was made of.
func (m *machine) base(t *testing.T) {
	t.Helper()
	program, err := filepath.EvalSymlinks(m.python)
	if err != nil {
		t.Fatal(err)
	}
	m.python = program
	m.set("PYTHONPATH", moduleFolder(t))
}

// machines are what the differential test goes through.
var machines = map[string]func(*testing.T, *machine){
	"the environment alone": func(*testing.T, *machine) {},
	"all kinds of kernel.json": func(t *testing.T, m *machine) {
		m.set("JUPYTER_PATH", "{}/kinds")
		for name, text := range map[string]string{
			"Upper-Case":     `{"argv": ["x"], "display_name": "É", "language": "R", "interrupt_mode": "message", "env": {"A": "${B}"}}`,
			"a name of none": `{"argv": ["x"]}`,
			"loud":           `{"argv": ["x"], "interrupt_mode": "MESSAGE"}`,
			"unknown-keys":   `{"argv": ["x"], "Argv": 3, "codemirror_mode": "shell", "metadata": {"debugger": true}}`,
			"empty":          `{}`,
			"local":          `{"argv": ["x"], "metadata": {"kernel_provisioner": {"provisioner_name": "local-provisioner"}}}`,
			"no-name":        `{"argv": ["x"], "metadata": {"kernel_provisioner": {"config": {}}}}`,
			"not-here":       `{"argv": ["x"], "metadata": {"kernel_provisioner": {"provisioner_name": "kubernetes"}}}`,
			"no-json":        `{"argv": [`,
			"no-object":      `[]`,
			"no-mode":        `{"argv": ["x"], "interrupt_mode": "shout"}`,
			"empty-mode":     `{"argv": ["x"], "interrupt_mode": ""}`,
			"null-mode":      `{"argv": ["x"], "interrupt_mode": null}`,
			"null-language":  `{"argv": ["x"], "language": null}`,
			"number":         `{"argv": ["x"], "display_name": 3}`,
			"list-env":       `{"argv": ["x"], "env": []}`,
			"its-folder":     `{"argv": ["x"], "resource_dir": "/"}`,
			"latin":          "{\"argv\": [\"x\"], \"display_name\": \"\xe9\"}",
			"marked":         "\ufeff" + `{"argv": ["x"]}`,
		} {
			m.write(t, "kinds/kernels/"+name+"/kernel.json", text)
		}
		m.write(t, "kinds/kernels/no-folder", "")
		m.write(t, "kinds/kernels/no-file/kernel.json/file", "")
		m.link(t, filepath.Join(m.root, "kinds/kernels/loud"), "kinds/kernels/linked")
		m.link(t, "nowhere", "kinds/kernels/dangling")
	},
	"the first wins, also a broken one": func(t *testing.T, m *machine) {
		m.set("JUPYTER_PATH", "{}/one/:{}/nothing:{}/two").set("JUPYTER_DATA_DIR", "{}/three")
		m.kernels(t, "one/kernels/A", "two/kernels/a", "two/kernels/b", "three/kernels/b", "three/kernels/c", "three/kernels/bash", "two/kernels/python3")
		m.write(t, "one/kernels/c/kernel.json", "{")
	},
	"a home that is a link": func(t *testing.T, m *machine) {
		m.link(t, filepath.Join(m.root, "home"), "link")
		m.set("HOME", "{}/link")
		m.kernels(t, "home/.local/share/jupyter/kernels/mine", "home/.local/share/jupyter/kernels/bash", "home/.ipython/kernels/old", "home/.ipython/kernels/bash")
	},
	"the user before the environment": func(t *testing.T, m *machine) {
		m.set("JUPYTER_PREFER_ENV_PATH", "Off").set("XDG_DATA_HOME", "{}/data").set("IPYTHONDIR", "~/ipython")
		m.kernels(t, "data/jupyter/kernels/bash", "home/.local/share/jupyter/kernels/unseen", "home/ipython/kernels/old", "home/.ipython/kernels/unseen")
	},
	"a native kernel": func(t *testing.T, m *machine) {
		m.venv(t, "")
		m.kernels(t, "home/.local/share/jupyter/kernels/mine", "venv/share/jupyter/kernels/mine")
	},
	"a virtual environment with the system's modules": func(t *testing.T, m *machine) {
		m.venv(t, "include-system-site-packages = True\n")
		m.set("PYTHONUSERBASE", "{}/users")
		m.kernels(t, "users/share/jupyter/kernels/users", "venv/share/jupyter/kernels/users", "home/.local/share/jupyter/kernels/mine")
	},
	"no virtual environment": func(t *testing.T, m *machine) {
		m.base(t)
		m.kernels(t, "home/.local/share/jupyter/kernels/mine")
	},
	"no virtual environment, another folder of the user's": func(t *testing.T, m *machine) {
		m.base(t)
		m.set("PYTHONUSERBASE", "{}/users").set("XDG_DATA_HOME", "{}/data")
		m.kernels(t, "users/share/jupyter/kernels/users", "data/jupyter/kernels/mine", "data/jupyter/kernels/users")
	},
	"no folder of the user's": func(t *testing.T, m *machine) {
		m.base(t)
		m.set("PYTHONUSERBASE", "{}/users").set("PYTHONNOUSERSITE", "1").set("JUPYTER_PREFER_ENV_PATH", "yes")
		m.kernels(t, "users/share/jupyter/kernels/users")
	},
	"folders of the platform": func(t *testing.T, m *machine) {
		m.set("JUPYTER_PLATFORM_DIRS", "1").set("XDG_DATA_DIRS", "{}/shared:relative")
		m.kernels(t, "shared/jupyter/kernels/shared", "home/.local/share/jupyter/kernels/mine")
	},
}

// listed is a kernel as both list it.
type listed struct {
	Dir  string `json:"resource_dir"`
	Spec struct {
		Argv      []string          `json:"argv"`
		Env       map[string]string `json:"env"`
		Name      string            `json:"display_name"`
		Language  string            `json:"language"`
		Interrupt string            `json:"interrupt_mode"`
	} `json:"spec"`
}

// jupyterList is what `jupyter kernelspec list --json` says.
func (m *machine) jupyterList(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command(m.python, "-m", "jupyter_client.kernelspecapp", "list", "--json")
	for name, value := range m.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	var list struct {
		Specs map[string]listed `json:"kernelspecs"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return list.Specs
}

func (m *machine) environment(t *testing.T) (kernelspec.Environment, []string) {
	t.Helper()
	e, err := kernelspec.EnvironmentOf(m.python, m.lookup)
	if err != nil {
		t.Fatal(err)
	}
	return e, kernelspec.Dirs(e, m.lookup)
}

func TestList_IsWhatJupyterLists(t *testing.T) {
	for name, prepare := range machines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			prepare(t, m)
			want := m.jupyterList(t)
			e, dirs := m.environment(t)
			specs, problems := kernelspec.List(e, dirs)
			t.Log(problems)
			got := map[string]listed{}
			for _, s := range specs {
				var l listed
				l.Dir, l.Spec.Argv, l.Spec.Env = s.Dir, s.Argv, s.Env
				l.Spec.Name, l.Spec.Language, l.Spec.Interrupt = s.DisplayName, s.Language, string(s.Interrupt)
				got[s.Name] = l
			}
			empty := cmp.FilterValues(func(a, b map[string]string) bool { return len(a)+len(b) == 0 }, cmp.Ignore())
			none := cmp.FilterValues(func(a, b []string) bool { return len(a)+len(b) == 0 }, cmp.Ignore())
			if diff := cmp.Diff(want, got, empty, none); diff != "" {
				t.Errorf("Jupyter's list, ours:\n%s", diff)
			}
		})
	}
}

// launch prints how jupyter_client would start each of the kernels.
const launch = `
import json, os, sys
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import LocalProvisioner
started = {}
for name in sys.argv[2:]:
    manager = KernelManager(kernel_name=name, connection_file=sys.argv[1])
    manager._launch_args = {}
    env = dict(os.environ, PYTHONEXECUTABLE="/other/python")
    provisioner = LocalProvisioner(kernel_spec=manager.kernel_spec, kernel_id="")
    env.update(provisioner._KernelProvisionerBase__apply_env_substitutions(env))
    provisioner._finalize_env(env)
    env.pop("LC_CTYPE", None)  # this Python's own
    started[name] = {"Argv": [os.path.expanduser(a) for a in manager.format_kernel_cmd()], "Env": env}
print(json.dumps(started))
`

func TestSpec_IsStartedAsJupyterStartsIt(t *testing.T) {
	m := newMachine(t)
	m.set("JUPYTER_PATH", "{}").set("GREETING", "hello $NAME").set("EMPTY", "")
	version := strings.TrimPrefix(filepath.Base(filepath.Dir(moduleFolder(t))), "python")
	for name, argv := range map[string]string{
		"python-any":     `["python", "python", "{prefix}/x", "--at={resource_dir}:{connection_file}"]`,
		"python-three":   `["python3", "{unknown} {} {a b} {{prefix}}"]`,
		"python-exact":   `["python` + version + `", "-f", "{connection_file}"]`,
		"python-another": `["python2", "-f", "{connection_file}"]`,
		"python-absent":  `["python3.99"]`,
		"path":           `["/usr/bin/python3"]`,
		"home":           `["~/bin/kernel", "~", "a~/b", "=~/b"]`,
		"templated":      `["{prefix}/bin/python", "{connection_file}{connection_file}"]`,
	} {
		m.write(t, "kernels/"+name+"/kernel.json", `{"argv": `+argv+`, "language": "Python", "env": {
			"ONE": "${GREETING}, $GREETING!", "TWO": "$$GREETING $$$GREETING", "THREE": "${NOBODY} $NOBODY $ ${ ${} $1 ${GREETING",
			"FOUR": "$ONE", "GREETING": "good $GREETING", "PATH": "{prefix}:$PATH", "FIVE": "[$EMPTY]"}}`)
	}
	e, dirs := m.environment(t)
	environ := []string{"PYTHONEXECUTABLE=/other/python"}
	for name, value := range m.env {
		environ = append(environ, name+"="+value)
	}
	connection := filepath.Join(m.root, "connection.json")
	specs, err := kernelspec.List(e, dirs)
	if err != nil {
		t.Fatal(err)
	}
	type started struct {
		Argv []string
		Env  map[string]string
	}
	got, args := map[string]started{}, []string{"-c", launch, connection}
	for _, spec := range specs {
		args = append(args, spec.Name)
		env := map[string]string{}
		for _, pair := range spec.Environ(environ) {
			name, value, _ := strings.Cut(pair, "=")
			env[name] = value
		}
		got[spec.Name] = started{spec.Command(connection, m.env["HOME"]), env}
	}
	cmd := exec.Command(m.python, args...)
	cmd.Env = environ[1:]
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	var want map[string]started
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Jupyter's, ours:\n%s", diff)
	}
}

func TestFind_SaysWhatIsWrong(t *testing.T) {
	m := newMachine(t)
	m.set("JUPYTER_PATH", "{}").set("JUPYTER_DATA_DIR", "{}/none")
	for name, text := range map[string]string{
		"cut":       "{\n  \"argv\": [\n",
		"text":      "{\n  \"argv\": \"x {connection_file}\"}",
		"number":    "{\"argv\": [\"x\",\n 3]}",
		"mode":      "{\"argv\": [\"x\"],\n\n \"interrupt_mode\": \"shout\"}",
		"elsewhere": `{"argv": ["x"], "metadata": {"kernel_provisioner": {"provisioner_name": "kubernetes"}}}`,
		"ir":        `{"argv": ["R"], "language": "R"}`,
	} {
		m.write(t, "kernels/"+name+"/kernel.json", text)
	}
	e := kernelspec.Environment{} // no Python
	dirs := []string{filepath.Join(m.root, "kernels")}
	for name, want := range map[string]string{
		"cut":       "kernel cut cannot be used: {}/kernels/cut/kernel.json:2:12: ",
		"Text":      "kernel text cannot be used: {}/kernels/text/kernel.json:2:11: ",
		"number":    "{}/kernels/number/kernel.json:2:2: ",
		"mode":      `{}/kernels/mode/kernel.json:3:20: "interrupt_mode" must be signal or message; it is "shout"`,
		"elsewhere": `{}/kernels/elsewhere/kernel.json:1:73: the kernel is started by the provisioner "kubernetes", not on this machine`,
		"sql":       `no kernel "sql"; there are: cut, elsewhere, ir, mode, number, text`,
		"numbr":     `no kernel "numbr" (did you mean number?); there are: cut, elsewhere, ir, mode, number, text`,
		"python":    `no kernel "python"; there are: `,
	} {
		_, err := kernelspec.Find(e, dirs, name)
		if want = strings.ReplaceAll(want, "{}", m.root); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got\n%v, want\n%s", name, err, want)
		}
	}
	if _, err := kernelspec.Find(e, []string{"/nowhere"}, "ir"); err == nil || !strings.Contains(err.Error(), "none at all in /nowhere") {
		t.Errorf("got %v, want that there is none", err)
	}
	if spec, err := kernelspec.Find(e, dirs, "IR"); err != nil || spec.Language != "R" {
		t.Errorf("got %+v, %v; want R's kernel", spec, err)
	}
	specs, err := kernelspec.List(e, dirs)
	if len(specs) != 1 || err == nil || strings.Count(err.Error(), "kernel.json:") != 5 {
		t.Errorf("got %+v, %v; want R's kernel and five mistakes", specs, err)
	}
}

func TestEnvironmentOf_TellsWhereItCannotTell(t *testing.T) {
	m := newMachine(t)
	shim := m.write(t, "shims/python3", "#!/bin/sh\n")
	alone := m.write(t, "bin/python3.11", "")
	m.write(t, "venv/pyvenv.cfg", "home = /usr/bin\n")
	for path, want := range map[string]error{
		shim: kernelspec.ErrUntold, alone: kernelspec.ErrUntold,
		filepath.Join(m.root, "venv/bin/python"): kernelspec.ErrUntold,
		filepath.Join(m.root, "nowhere/python"):  os.ErrNotExist,
	} {
		if _, err := kernelspec.EnvironmentOf(path, m.lookup); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
	if _, err := kernelspec.EnvironmentOf(m.python, m.set("PYTHONHOME", "/").lookup); !errors.Is(err, kernelspec.ErrUntold) {
		t.Errorf("got %v, want that $PYTHONHOME decides", err)
	}
}

func TestSpec_IPythonIsNothingButIPykernel(t *testing.T) {
	m := newMachine(t)
	m.set("JUPYTER_PATH", "{}")
	for name, text := range map[string]string{
		"plain":    `{"argv": ["/opt/py", "-m", "ipykernel_launcher", "-f", "{connection_file}"]}`,
		"older":    `{"argv": ["/opt/py", "-m", "ipykernel", "-f", "{connection_file}"]}`,
		"debugged": `{"argv": ["/opt/py", "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]}`,
		"own":      `{"argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]}`,
		"set":      `{"argv": ["/opt/py", "-m", "ipykernel_launcher", "-f", "{connection_file}"], "env": {"A": "b"}}`,
		"profile":  `{"argv": ["/opt/py", "-m", "ipykernel_launcher", "-f", "{connection_file}", "--profile=x"]}`,
		"other":    `{"argv": ["/opt/py", "-m", "bash_kernel", "-f", "{connection_file}"]}`,
		"short":    `{"argv": ["R"]}`,
		"empty":    `{}`,
	} {
		m.write(t, "kernels/"+name+"/kernel.json", text)
	}
	e, _ := m.environment(t)
	specs, err := kernelspec.List(e, []string{filepath.Join(m.root, "kernels")})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range specs {
		if python, ok := s.IPython(); ok {
			got[s.Name] = python
		}
	}
	delete(got, "python3") // the environment's own
	want := map[string]string{"plain": "/opt/py", "older": "/opt/py", "debugged": "/opt/py", "own": m.python}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
