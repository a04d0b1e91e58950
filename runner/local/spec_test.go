//go:build linux

package local_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/internal/testenv"
	"nbpress/runner"
	"nbpress/runner/local"
	"nbpress/runner/local/kernelspec"
	"nbpress/runner/runnertest"
)

// findSpec returns a kernel of the tests' environment.
func findSpec(t *testing.T, name string) kernelspec.Spec {
	t.Helper()
	if name == "xpython" && runtime.GOARCH != "amd64" {
		t.Skip("xeus-python has no wheel for this platform")
	}
	e, err := local.FindEnvironment(t.Context(), testenv.Python(t), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := kernelspec.Find(e, kernelspec.Dirs(e, os.LookupEnv), name)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// writeSpec makes a kernel of a shell script, whose $1 is the connection file.
func writeSpec(t *testing.T, script string) kernelspec.Spec {
	t.Helper()
	return writeArgv(t, "/bin/sh", "-c", script, "sh", "{connection_file}")
}

func writeArgv(t *testing.T, argv ...string) kernelspec.Spec {
	t.Helper()
	dir := t.TempDir()
	data, err := json.Marshal(map[string]any{"argv": argv, "env": map[string]string{"MADE_BY": "the test in ${HOME}"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "made"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "made", "kernel.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := kernelspec.Find(kernelspec.Environment{}, []string{dir}, "made")
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// startSpec returns a kernel that is closed with the test, and then leaves nothing behind.
func startSpec(t *testing.T, spec kernelspec.Spec) *local.Kernel {
	t.Helper()
	mark := "kernel-" + rand.Text()
	spec.Env = maps.Clone(spec.Env)
	if spec.Env == nil {
		spec.Env = map[string]string{}
	}
	spec.Env[runnertest.MarkVariable] = mark
	kernel, err := local.StartSpec(t.Context(), spec, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kernel.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		eventually(t, func() []string { return marked(t, mark) })
		if t.Failed() {
			t.Logf("the kernel's own words: %s", kernel.Log())
		}
	})
	return kernel
}

// streams returns the texts of a notebook's outputs.
func streams(t *testing.T, executed []byte) string {
	t.Helper()
	var nb struct {
		Cells []struct {
			Outputs []struct {
				Text  []string       `json:"text"`
				Data  map[string]any `json:"data"`
				Value string         `json:"evalue"`
			} `json:"outputs"`
		} `json:"cells"`
	}
	if err := json.Unmarshal(executed, &nb); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, cell := range nb.Cells {
		for _, o := range cell.Outputs {
			all.WriteString(strings.Join(o.Text, ""))
			if o.Data != nil {
				fmt.Fprintf(&all, "%v\n", o.Data["text/plain"])
			}
			if o.Value != "" {
				fmt.Fprintf(&all, "raised %s\n", o.Value)
			}
		}
	}
	return all.String()
}

// A process in a session of its own outlives the kernel, and holds its standard output.
func TestKernel_TellsItsDeathWhileAnotherHoldsItsOutput(t *testing.T) {
	t.Parallel()
	const tries = 5
	told, late := 0, 0 // a busy machine may be late at any of the steps, but not most times
	for told <= tries/2 && late <= tries/2 {
		if problem := tellsDeath(t); problem != "" {
			t.Log(problem)
			late++
		} else {
			told++
		}
	}
	if t.Logf("as it should be %d times of %d", told, told+late); told <= late {
		t.Error("most times it was not")
	}
}

// tellsDeath returns what is wrong with how a death is told, "" where nothing is.
func tellsDeath(t *testing.T) (problem string) {
	t.Helper()
	ended := filepath.Join(t.TempDir(), "ended")
	kernel := startSpec(t, writeSpec(t, `
mkfifo on
setsid sh -c 'echo > on; sleep 0.3; echo and later; exec sleep 10' &
read -r _ < on
echo its last words
touch `+ended+`
exit 3`))
	death := <-kernel.Died
	last, err := os.Stat(ended)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(last.ModTime()); took > 8*time.Second { // less than the other holds its output
		return fmt.Sprintf("it took %s", took)
	}
	if want := (runner.Death{Code: runner.KernelDied, Message: "exit status 3"}); death != want {
		return fmt.Sprintf("got %+v, want %+v", death, want)
	}
	asked := time.Now()
	if got, want := string(kernel.Log()), "its last words\nand later\n"; got != want {
		return fmt.Sprintf("got the words %q, want %q", got, want)
	}
	if waited := time.Since(asked); waited < 100*time.Millisecond { // for what else may come, which takes two seconds
		return fmt.Sprintf("the words were there after %s: the death was told no sooner", waited)
	}
	return ""
}

// Each of the kernels speaks the protocol in its own way: xeus does so in C++.
func TestStartSpec_RunsNotebooks(t *testing.T) {
	const python = "import os, sys; print('hello'); print('there', file=sys.stderr)"
	for name, test := range map[string]struct {
		kernel  string
		cells   []string
		outputs string
		code    runner.Code
		message string
	}{
		"bash":                  {"bash", []string{"who=world", "echo hello $who", "sleep 600 &"}, "hello world\n[1] ", "", ""},
		"a command that fails":  {"bash", []string{"echo one", "ls /nowhere", "echo no"}, "raised 2\n", runner.CellError, "the cell failed: 2"},
		"a bash that is killed": {"bash", []string{"kill -9 $PPID"}, "", runner.KernelDied, "the kernel died: signal: killed"},
		"xpython":               {"xpython", []string{python, "1 + 1"}, "hello\nthere\n[2]\n", "", ""},
		"an error of xpython":   {"xpython", []string{"1 / 0", python}, "raised division by zero\n", runner.CellError, "<class 'ZeroDivisionError'>: division by zero"},
		"an xpython that ends":  {"xpython", []string{python + "; sys.stdout.flush(); os._exit(4)"}, "", runner.KernelDied, "the kernel died: exit status 4"},
		"python3":               {"python3", []string{python, "1 + 1"}, "hello\nthere\n[2]\n", "", ""},
		"an error of python3":   {"python3", []string{"1 / 0", python}, "raised division by zero\n", runner.CellError, "ZeroDivisionError: division by zero"},
		"a python3 that ends":   {"python3", []string{"import os; os._exit(4)"}, "", runner.KernelDied, "the kernel died: exit status 4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kernel := startSpec(t, findSpec(t, test.kernel))
			executed, failure, warnings, err := runner.ExecuteNotebook(t.Context(), runnertest.Notebook(test.cells...), kernel.Connection, kernel.Died, runner.CellsOptions{
				CellTimeout: time.Minute, Interrupt: kernel.Interrupt, Log: logTo(t),
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := streams(t, executed); !strings.Contains(got, test.outputs) {
				t.Errorf("got %q, want %q", got, test.outputs)
			}
			if len(warnings) > 0 {
				t.Errorf("warnings: %q", warnings)
			}
			if failure == nil {
				failure = &runner.Failure{}
			}
			if failure.Code != test.code || failure.Message != test.message {
				t.Errorf("got %s: %q, want %s: %q", failure.Code, failure.Message, test.code, test.message)
			}
		})
	}
}

func TestStartSpec_InterruptsACellThatTakesTooLong(t *testing.T) {
	for kernel, test := range map[string]struct {
		code    string
		message string
	}{
		"bash":    {"echo started; sleep 600", "the cell ran longer than 8s"},
		"python3": {"import time; print('started'); time.sleep(600)", "the cell ran longer than 8s"},
		"xpython": {"import time; print('started', flush=True); time.sleep(600)", "the cell ran longer than 8s, and its kernel ended when it was interrupted"},
	} {
		t.Run(kernel, func(t *testing.T) {
			t.Parallel()
			k := startSpec(t, findSpec(t, kernel))
			executed, failure, _, err := runner.ExecuteNotebook(t.Context(), runnertest.Notebook(test.code), k.Connection, k.Died, runner.CellsOptions{
				CellTimeout: 8 * time.Second, Grace: time.Minute, Interrupt: k.Interrupt, Log: logTo(t),
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := streams(t, executed); !strings.Contains(got, "started") {
				t.Errorf("got %q, want what was printed before", got)
			}
			if failure == nil || failure.Code != runner.CellTimeout || failure.Message != test.message {
				t.Errorf("got %v, want a timeout: %s", failure, test.message)
			}
		})
	}
}

func TestStartSpec_SaysHowAKernelFailsToStart(t *testing.T) {
	for name, test := range map[string]struct {
		script  string
		code    runner.Code
		message string
		log     string // a regular expression of the kernel's own words
	}{
		"ends at once":    {"echo cannot load the licence >&2; exit 3", runner.KernelDied, "the kernel died before it was ready: exit status 3", "^cannot load the licence\n$"},
		"ends well":       {"exit 0", runner.KernelDied, "the kernel died before it was ready: exit status 0", "^$"},
		"never listens":   {"exec sleep 600", runner.StartTimeout, "connect to the kernel: dial of channel shell: ", "^$"},
		"prints garbage":  {"head -c 300000 /dev/zero; echo end; exec sleep 600", runner.StartTimeout, "connect to the kernel: dial of channel shell: ", "^\\[nbpress: only the end of 300004 bytes\\](.|\n)*end\n$"},
		"private file":    {`stat -c %a "$1"; stat -c %a "$(dirname "$1")"; exit 1`, runner.KernelDied, "the kernel died before it was ready: exit status 1", "^600\n700\n$"},
		"as jupyter does": {`echo "$MADE_BY" $JPY_PARENT_PID; exit 1`, runner.KernelDied, "the kernel died before it was ready: exit status 1", "^the test in " + regexp.QuoteMeta(os.Getenv("HOME")) + " " + strconv.Itoa(os.Getpid()) + "\n$"},
		"ipykernel 7":     {`echo "[IPKernelApp] WARNING | Kernel is running over TCP without encryption. All is lost."; echo more; exit 1`, runner.KernelDied, "the kernel died before it was ready: exit status 1", "^more\n$"},
		"its own session": {`( : < /dev/tty ); read -r _ _ _ _ _ session _ < /proc/$$/stat; [ "$session" = $$ ] && exit 1`, runner.KernelDied, "the kernel died before it was ready: exit status 1", "/dev/tty"},
		"what it started": {`sleep 600 & exec 1>&- 2>&-; exit 5`, runner.KernelDied, "the kernel died before it was ready: exit status 5", "^$"},
		"another speaks":  {`exec ` + testenv.Python(t) + ` -c 'import json, socket, sys, time; c = json.load(open(sys.argv[1])); s = socket.create_server(("127.0.0.1", c["shell_port"])); a, _ = s.accept(); a.sendall(b"HTTP/1.0 400 Bad Request" * 9); time.sleep(600)' "$1"`, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kernel := startSpec(t, writeSpec(t, test.script))
			_, failure, _, err := runner.ExecuteNotebook(t.Context(), runnertest.Notebook("1"), kernel.Connection, kernel.Died, runner.CellsOptions{StartTimeout: 10 * time.Second})
			if test.code == "" {
				if err == nil || !strings.Contains(err.Error(), "connect to the kernel: zmtp of channel shell: ") {
					t.Errorf("got %v, %v; want that it speaks something else", failure, err)
				}
				return
			}
			if err != nil || failure == nil {
				t.Fatalf("got %v, %v", failure, err)
			}
			if failure.Code != test.code || !strings.HasPrefix(failure.Message, test.message) {
				t.Errorf("got %s: %s, want %s: %s", failure.Code, failure.Message, test.code, test.message)
			}
			if !regexp.MustCompile(test.log).Match(kernel.Log()) {
				t.Errorf("got the words %.200q, want %s", kernel.Log(), test.log)
			}
		})
	}
}

func TestStartSpec_NamesAProgramThatIsMissing(t *testing.T) {
	for argv0, want := range map[string]string{
		"/nowhere/python": "start kernel made: there is no program /nowhere/python (",
		"no-such-program": "start kernel made: there is no program no-such-program (",
		"./relative":      "start kernel made: there is no program ./relative (",
		"/etc/passwd":     "start kernel made: there is no program /etc/passwd (", // cannot be run
	} {
		spec := writeArgv(t, argv0, "{connection_file}")
		kernel, err := local.StartSpec(t.Context(), spec, t.TempDir())
		if err == nil {
			kernel.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), filepath.Join(spec.Dir, "kernel.json")) {
			t.Errorf("%s: got %v, want %s", argv0, err, want)
		}
	}
}

func TestStartSpec_InterruptsAsTheKernelWantsIt(t *testing.T) {
	for mode, signals := range map[kernelspec.InterruptMode]bool{kernelspec.BySignal: true, kernelspec.ByMessage: false} {
		spec := writeSpec(t, "trap 'echo interrupted; exit 7' INT; sleep 600")
		spec.Interrupt = mode
		kernel := startSpec(t, spec)
		if signals != (kernel.Interrupt != nil) {
			t.Fatalf("%s: interrupts by signal: %v", mode, kernel.Interrupt != nil)
		}
		if !signals {
			continue
		}
		tick := time.NewTicker(10 * time.Millisecond) // the first ones may come before the trap is set
		defer tick.Stop()
		for died := false; !died; {
			select {
			case <-kernel.Died:
				died = true
			case <-tick.C:
				if err := kernel.Interrupt(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := kernel.Interrupt(); err != nil {
			t.Errorf("of a kernel that has ended: %v", err)
		}
	}
}

// The files of an environment tell what its interpreter would say of itself.
func TestFindEnvironment_IsWhatPythonSays(t *testing.T) {
	venv := testenv.Python(t)
	base, err := filepath.EvalSymlinks(venv)
	if err != nil {
		t.Fatal(err)
	}
	for _, python := range []string{venv, base} {
		shim := filepath.Join(t.TempDir(), "python3")
		if err := os.WriteFile(shim, []byte("#!/bin/sh\nexec '"+python+"' \"$@\"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		want, err := local.FindEnvironment(t.Context(), shim, os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		got, err := kernelspec.EnvironmentOf(python, os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range want.Path {
			if strings.HasSuffix(dir, "-packages") && !slices.Contains(got.Path, dir) {
				t.Errorf("%s: %s is missing from %q", python, dir, got.Path)
			}
		}
		want.Path, got.Path = nil, nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: Python's word, ours:\n%s", python, diff)
		}
	}
	if _, err := local.FindEnvironment(t.Context(), "no-such-python", os.LookupEnv); !errors.Is(err, local.ErrNoPython) {
		t.Errorf("got %v, want that there is none", err)
	}
}
