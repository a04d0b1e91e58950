package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nbpress/internal/testenv/bucket"
	"nbpress/runner"
)

// scriptCommands are the words that make the scripts readable.
func scriptCommands(line *bucket.Line) map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"authority": cmdAuthority,
		"await":     cmdAwait,
		"bundles":   cmdBundles,
		"commit":    cmdCommit,
		"measure":   cmdMeasure,
		"merge":     cmdMerge,
		"deliver":   cmdDeliver,
		"exits":     cmdExits,
		"ledger":    cmdLedger,
		"line":      func(ts *testscript.TestScript, neg bool, args []string) { cmdLine(ts, neg, args, line) },
		"outcomes":  cmdOutcomes,
		"processes": cmdProcesses,
		"replace":   cmdReplace,
		"terminate": cmdTerminate,
		"tokens":    cmdTokens,
		"visit":     cmdVisit,
	}
}

// What `bundles` gives a report that does not bring its own.
const (
	plainConfig   = `{"schedule": "0 * * * *", "window": "yesterday", "assets": ["a"]}` + "\n"
	plainTemplate = "<h1>{{ title }}</h1>\n"
	plainNotebook = "import json\nwith open('output.json', 'w') as f:\n    json.dump({'title': 'All is well'}, f)\n"
)

// cmdBundles makes bundles out of what a script brings: `bundles FOLDER`.
//
// Each folder in FOLDER becomes a report. Its notebook may be written as report.py,
// with the cells apart by lines that are "# %%" or, with tags, "# %% TAG ..."; what is
// missing becomes plain and right.
func cmdBundles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: bundles FOLDER")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, entry := range entries {
		dir := filepath.Join(ts.MkAbs(args[0]), entry.Name())
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") || entry.Name() == "common" {
			continue
		}
		source, err := os.ReadFile(filepath.Join(dir, "report.py"))
		if err != nil {
			source = []byte(plainNotebook)
		}
		ts.Check(os.RemoveAll(filepath.Join(dir, "report.py")))
		notebook, err := notebookOf(source)
		ts.Check(err)
		for name, content := range map[string][]byte{
			"config.json": []byte(plainConfig), "template.html": []byte(plainTemplate), "report.ipynb": notebook,
		} {
			if file := filepath.Join(dir, name); !exists(file) {
				ts.Check(os.WriteFile(file, content, 0o644))
			}
		}
	}
}

func notebookOf(source []byte) ([]byte, error) {
	var cells []map[string]any
	if !bytes.HasPrefix(source, []byte("# %%")) {
		source = append([]byte("# %%\n"), source...)
	}
	for i, text := range strings.Split("\n"+string(source), "\n# %%")[1:] {
		tags, text, _ := strings.Cut(text, "\n")
		metadata := map[string]any{}
		if tags != "" {
			metadata["tags"] = strings.Fields(tags)
		}
		cells = append(cells, map[string]any{
			"cell_type": "code", "id": fmt.Sprintf("cell-%d", i), "metadata": metadata,
			"execution_count": nil, "outputs": []any{}, "source": strings.TrimRight(text, "\n"),
		})
	}
	return json.MarshalIndent(map[string]any{
		"cells": cells, "metadata": map[string]any{}, "nbformat": 4, "nbformat_minor": 5,
	}, "", " ")
}

// cmdMerge merges a folder as the whole content of a bare repository's main branch,
// which is made where there is none: `merge REPO FOLDER [AGE]`. The commit is dated
// AGE ago, so that slots between then and now are due.
func cmdMerge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: merge REPO FOLDER [AGE]")
	}
	repo, folder := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	when := time.Now()
	if len(args) == 3 {
		age, err := time.ParseDuration(args[2])
		ts.Check(err)
		when = when.Add(-age)
	}
	index := filepath.Join(ts.MkAbs("."), ".index-"+filepath.Base(repo))
	defer os.Remove(index)
	git := func(args ...string) {
		cmd := exec.Command("git", args...)
		cmd.Env = append(slices.Clone(ts.Value(envKey{}).([]string)), "GIT_INDEX_FILE="+index,
			"GIT_AUTHOR_DATE="+when.Format(time.RFC3339), "GIT_COMMITTER_DATE="+when.Format(time.RFC3339))
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	if !exists(repo) {
		git("init", "-q", "--bare", "-b", "main", repo)
	}
	work := []string{"--git-dir", repo, "--work-tree", folder, "-c", "core.bare=false"}
	git(append(work, "add", "-A", folder)...)
	git(append(work, "commit", "-q", "-m", "Merge "+args[1])...)
}

// cmdCommit puts the files of a folder on top of a branch, as a person would who works
// by hand: `commit REPO BRANCH FOLDER`.
func cmdCommit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: commit REPO BRANCH FOLDER")
	}
	repo, branch, folder := ts.MkAbs(args[0]), "refs/heads/"+args[1], ts.MkAbs(args[2])
	index := filepath.Join(ts.MkAbs("."), ".index-by-hand")
	defer os.Remove(index)
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"--git-dir", repo, "--work-tree", folder, "-c", "core.bare=false"}, args...)...)
		cmd.Env = append(slices.Clone(ts.Value(envKey{}).([]string)), "GIT_INDEX_FILE="+index,
			"GIT_AUTHOR_NAME="+ts.Getenv("GIT_AUTHOR_NAME"), "GIT_AUTHOR_EMAIL="+ts.Getenv("GIT_AUTHOR_EMAIL"))
		out, err := cmd.Output()
		if err != nil {
			ts.Fatalf("%v: %v", cmd, err)
		}
		return strings.TrimSpace(string(out))
	}
	var parent []string
	if tip := git("for-each-ref", "--format=%(objectname)", branch); tip != "" {
		parent = []string{"-p", tip}
		git("read-tree", tip)
	}
	git("add", "--ignore-removal", folder)
	git("update-ref", branch, git(append([]string{"commit-tree", "-m", "By hand", git("write-tree")}, parent...)...))
}

// cmdLedger prints the files of the months' branches whose path matches:
// `ledger REPO PATTERN`. It fails where there is none.
func cmdLedger(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: ledger REPO PATTERN")
	}
	found := 0
	for _, file := range ledgerFiles(ts, args[0]) {
		if ok, err := path.Match(args[1], file.path); err != nil {
			ts.Check(err)
		} else if ok {
			found++
			fmt.Fprintf(ts.Stdout(), "# %s\n%s", file.path, file.data)
		}
	}
	if (found == 0) != neg {
		ts.Fatalf("the ledger has %d files that match %s", found, args[1])
	}
}

type ledgerFile struct {
	path string
	data []byte
}

func ledgerFiles(ts *testscript.TestScript, repo string) []ledgerFile {
	git := func(args ...string) string {
		out, err := exec.Command("git", append([]string{"--git-dir", ts.MkAbs(repo)}, args...)...).Output()
		ts.Check(err)
		return string(out)
	}
	var files []ledgerFile
	for _, branch := range strings.Fields(git("for-each-ref", "--format=%(refname)", "refs/heads/runs/2*")) {
		for _, name := range strings.Split(strings.TrimSuffix(git("ls-tree", "-r", "-z", "--name-only", branch), "\x00"), "\x00") {
			files = append(files, ledgerFile{name, []byte(git("cat-file", "blob", branch+":"+name))})
		}
	}
	slices.SortStableFunc(files, func(a, b ledgerFile) int { return cmp.Compare(a.path, b.path) })
	return files
}

// cmdOutcomes prints what became of every run and every broken report of the ledger:
// `outcomes REPO`.
func cmdOutcomes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: outcomes REPO")
	}
	for _, file := range ledgerFiles(ts, args[0]) {
		if kind, err := runner.KindOf(file.data); err != nil {
			ts.Fatalf("%s: %v", file.path, err)
		} else if kind == runner.KindReport {
			r, err := runner.Decode[runner.ReportRecord](file.data, kind)
			ts.Check(err)
			printOutcome(ts, r.Report, string(r.Status), r.Error, r.Error.Problems)
		} else if kind == runner.KindRun {
			m, err := runner.Decode[runner.Manifest](file.data, kind)
			ts.Check(err)
			printOutcome(ts, m.Report+"/"+m.Asset, string(m.Status), m.Error, m.Warnings)
		}
	}
}

func printOutcome(ts *testscript.TestScript, name, status string, failure *runner.RunError, notes []string) {
	fmt.Fprintf(ts.Stdout(), "%s: %s\n", name, status)
	if failure != nil {
		fmt.Fprintf(ts.Stdout(), "  %s, fault %s: %s%s\n", failure.Code, failure.Fault, failure.Message, place(failure.Cell))
	}
	for _, note := range notes {
		fmt.Fprintf(ts.Stdout(), "  - %s\n", note)
	}
}

// cmdReplace replaces what matches in a file, or in stdout or stderr of the last
// command, and writes it to another: `replace FILE TO PATTERN WITH ...`.
func cmdReplace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 || len(args)%2 != 0 {
		ts.Fatalf("usage: replace FILE TO PATTERN WITH ...")
	}
	text := ts.ReadFile(args[0])
	for pair := range slices.Chunk(args[2:], 2) {
		pattern, err := regexp.Compile("(?m)" + pair[0])
		ts.Check(err)
		text = pattern.ReplaceAllString(text, pair[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o644))
}

const awaitTimeout = 4 * time.Minute

// cmdAwait runs a program again and again until its output matches:
// `await PATTERN PROGRAM ARGS...`; `! await` until it does not.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: await PATTERN PROGRAM ARGS...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), awaitTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		cmd := exec.CommandContext(ctx, args[1], args[2:]...)
		cmd.Dir, cmd.Env = ts.MkAbs("."), ts.Value(envKey{}).([]string)
		out, _ := cmd.CombinedOutput() // a program that fails has not said it yet
		if pattern.Match(out) != neg {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("still, after %v: %s", awaitTimeout, out)
		}
	}
}

// cmdTerminate sends SIGTERM to the programs in the background.
func cmdTerminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: terminate")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

// cmdProcesses waits until the machine has a process with this text in its command
// line, `! processes` until it has none: `processes TEXT`.
func cmdProcesses(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: processes TEXT")
	}
	deadline := time.After(awaitTimeout)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for (len(processesWith(args[0])) > 0) == neg {
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("processes with %s: %q", args[0], processesWith(args[0]))
		}
	}
}

func processesWith(text string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well-formed
	var found []string
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil { // ended meanwhile
			continue
		}
		if bytes.Contains(line, []byte(text)) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// cmdExits runs a program that must end with a status: `exits STATUS PROGRAM ARGS...`.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM ARGS...")
	}
	status := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		status = strconv.Itoa(exit.ExitCode())
	}
	if status != args[0] {
		ts.Fatalf("exit status %s, want %s", status, args[0])
	}
}

// cmdLine cuts the line to the S3 server, or mends it: `line cut|mend`.
func cmdLine(ts *testscript.TestScript, neg bool, args []string, line *bucket.Line) {
	switch {
	case !neg && len(args) == 1 && args[0] == "cut":
		line.Cut()
	case !neg && len(args) == 1 && args[0] == "mend":
		line.Mend()
	default:
		ts.Fatalf("usage: line cut|mend")
	}
}

// cmdMeasure runs a program that must succeed and holds at most so much memory:
// `measure MIB PROGRAM ARGS...`. The race detector gets its share on top.
func cmdMeasure(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: measure MIB PROGRAM ARGS...")
	}
	limit, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), ts.Value(envKey{}).([]string)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var peak int64
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C: // the system's own count would include the kernels, its children
			peak = max(peak, memoryOf(cmd.Process.Pid, "VmHWM"))
		case err := <-ended:
			ts.Check(err)
			running = false
		}
	}
	ts.Logf("[%d MiB at most]", peak>>10)
	if peak>>10 > limit*raceFactor {
		ts.Fatalf("%s had %d MiB, want %d at most", args[1], peak>>10, limit*raceFactor)
	}
}

// memoryOf is a line of a process' status, in KiB: VmHWM is the most memory that it ever
// had, RssAnon what it has now but for pages of files; 0 where it is gone.
func memoryOf(pid int, line string) (kib int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "\n"+line+":")
	_, _ = fmt.Sscan(rest, &kib) // stays 0 where there is no such line
	return kib
}

// envKey is where Setup leaves the script's environment.
type envKey struct{}
