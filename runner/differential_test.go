package runner

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/internal/testenv"
)

// specimen is a notebook that is executed by nbclient and by nbpress. Its file is in
// Jupytext's percent format; a comment on top says what it is for:
//
//	# Rows: the rows of the table of edges that it reaches
//	# Errors: allowed                  (else the first one ends it)
//	# Timeout: 2s                      (of a cell; else none)
//	# Format: 4.4                      (else 4.5)
//	# Differs: where nbpress means to differ; NAME.golden beside it is the outcome
//
// Cells may carry all that a notebook's may, as key=JSON after their "# %%".
type specimen struct {
	name         string
	rows         string
	allowErrors  bool
	timeout      time.Duration
	minor        int
	differs      string
	cells        []map[string]any
	golden, file string // paths
}

// Both outcomes of a notebook are compared cell by cell, but for what is never the same twice.
func TestExecuteFile_DoesWhatNbclientDoes(t *testing.T) {
	specimens := readSpecimens(t)
	folder := t.TempDir()
	for i, s := range specimens {
		specimens[i].file = filepath.Join(folder, s.name+".ipynb")
		if err := os.WriteFile(specimens[i].file, s.notebook(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	peers := startNbclient(t, folder, specimens)
	executed := t.TempDir()
	ours := make([]outcome, len(specimens))
	t.Run("nbpress", func(t *testing.T) {
		for i, s := range specimens {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				ours[i] = s.execute(t, executed)
			})
		}
	})
	validate(t, executed)
	ended := peers(t)
	for i, s := range specimens {
		t.Run(s.name, func(t *testing.T) {
			executed, err := os.ReadFile(filepath.Join(folder, s.name+".executed.ipynb"))
			if err != nil {
				t.Fatal(err)
			}
			s.compare(t, ours[i], outcome{ended: ended[s.name], notebook: steadyNotebook(t, executed)})
		})
	}
}

// outcome is what became of a specimen.
type outcome struct {
	ended    string // completed, or a failure's code
	details  string // ours alone: the failure's message, and warnings
	notebook map[string]any
}

func (o outcome) String() string {
	text, err := json.MarshalIndent(o.notebook["cells"], "", "  ")
	if err != nil {
		return err.Error()
	}
	return o.ended + "\n" + o.details + string(text) + "\n"
}

// execute leaves the executed notebook in folder.
func (s specimen) execute(t *testing.T, folder string) outcome {
	data, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	conn, dead := startKernel(t)
	executed, failure, warnings, err := ExecuteNotebook(t.Context(), data, conn, dead, CellsOptions{AllowErrors: s.allowErrors, CellTimeout: s.timeout})
	if err != nil {
		t.Fatal(err)
	}
	name := s.name + ".ipynb"
	if failure != nil && failure.Code == KernelDied || strings.Contains(s.rows, "exit()") {
		name = "unfinished-" + name
	}
	if err := os.WriteFile(filepath.Join(folder, name), executed, 0o600); err != nil {
		t.Fatal(err)
	}
	got := outcome{ended: "completed", notebook: steadyNotebook(t, executed)}
	if failure != nil {
		got.ended = string(failure.Code)
		got.details = fmt.Sprintf("failure: %s\n", failure.Message)
		if failure.Cell != nil {
			got.details += fmt.Sprintf("at: %+v\n", *failure.Cell)
		}
	}
	for _, w := range warnings {
		got.details += fmt.Sprintf("warning: %s\n", w)
	}
	return got
}

func (s specimen) compare(t *testing.T, ours, theirs outcome) {
	same := theirs
	same.details = ours.details
	diff := cmp.Diff(same.String(), ours.String())
	if diff == "" {
		diff = cmp.Diff(theirs.notebook, ours.notebook)
	}
	switch {
	case s.differs == "" && diff != "":
		t.Errorf("nbpress does not do what nbclient does (-nbclient +nbpress):\n%s", diff)
	case s.differs != "" && diff == "":
		t.Errorf("there is no difference any more: %s", s.differs)
	case s.differs != "":
		s.compareGolden(t, ours.String())
	}
}

func (s specimen) compareGolden(t *testing.T, got string) {
	if flag.Lookup("update").Value.String() == "true" { // which manifest_test.go declares
		if err := os.WriteFile(s.golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(s.golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("not as %s (-want +got):\n%s", s.golden, diff)
	}
}

// startNbclient has Python execute the specimens and returns how to wait for it.
func startNbclient(t *testing.T, folder string, specimens []specimen) func(t *testing.T) (ended map[string]string) {
	t.Helper()
	type job struct {
		Name        string  `json:"name"`
		AllowErrors bool    `json:"allow_errors"`
		Timeout     float64 `json:"timeout"`
	}
	var jobs []job
	for _, s := range specimens {
		jobs = append(jobs, job{s.name, s.allowErrors, s.timeout.Seconds()})
	}
	request, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), testenv.Python(t), "testdata/differential.py", folder)
	var log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(request), &log, &log
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also when the test panics
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) (ended map[string]string) {
		if err := cmd.Wait(); err != nil {
			t.Fatalf("nbclient: %v\n%s", err, log.Bytes())
		}
		t.Logf("nbclient:\n%s", log.Bytes())
		outcomes, err := os.ReadFile(filepath.Join(folder, "outcomes.json"))
		if err == nil {
			err = json.Unmarshal(outcomes, &ended)
		}
		if err != nil {
			t.Fatal(err)
		}
		return ended
	}
}

// steadyNotebook returns a notebook without what is never the same twice.
func steadyNotebook(t *testing.T, file []byte) map[string]any {
	t.Helper()
	var nb map[string]any
	d := json.NewDecoder(bytes.NewReader(file))
	d.UseNumber()
	if err := d.Decode(&nb); err != nil {
		t.Fatal(err)
	}
	for _, cell := range nb["cells"].([]any) {
		cell := cell.(map[string]any)
		if execution, ok := cell["metadata"].(map[string]any)["execution"].(map[string]any); ok {
			for event := range execution {
				execution[event] = "when"
			}
		}
		if outputs, ok := cell["outputs"].([]any); ok {
			cell["outputs"] = merged(outputs)
		}
	}
	ids := make(map[string]int)
	steady(nb["cells"], ids) // these name the widgets that are shown, which name others
	if widgets, ok := nb["metadata"].(map[string]any)["widgets"].(map[string]any); ok {
		numberModels(widgets["application/vnd.jupyter.widget-state+json"].(map[string]any)["state"].(map[string]any), ids)
	}
	return steady(nb, ids).(map[string]any)
}

// merged returns outputs with neighbours of one stream as one.
func merged(outputs []any) []any {
	all := make([]any, 0, len(outputs))
	for _, o := range outputs {
		o := o.(map[string]any)
		if o["output_type"] != "stream" {
			all = append(all, o)
			continue
		}
		if text, ok := o["text"].([]any); ok {
			var whole strings.Builder
			for _, line := range text {
				whole.WriteString(line.(string))
			}
			o["text"] = whole.String()
		}
		if n := len(all); n > 0 && all[n-1].(map[string]any)["output_type"] == "stream" && all[n-1].(map[string]any)["name"] == o["name"] {
			last := all[n-1].(map[string]any)
			last["text"] = last["text"].(string) + o["text"].(string)
			continue
		}
		all = append(all, o)
	}
	return all
}

// unsteady are the parts of texts that differ from run to run.
var unsteady = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`0x[0-9a-f]{6,}`), "0x…"},
	{regexp.MustCompile(`ipykernel_\d+/\d+\.py`), "ipykernel_…/….py"},
	{regexp.MustCompile(`/(?:tmp|var/folders)/[^\s'":,)\x1b]*`), "/tmp/…"},
	{regexp.MustCompile(`\d+(\.\d+)?(e[+-]?\d+)? (ns|μs|µs|us|ms|s|min)\b`), "… s"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+`), "when"},
	{regexp.MustCompile(`\(\d+ times\)`), "(… times)"}, // similar frames of a traceback, by how deep the kernel stands
	{regexp.MustCompile(`Thread-\d+`), "Thread-…"},
	{regexp.MustCompile(`task-\d+|Task-\d+`), "Task-…"},
}

// modelID matches the ids of widgets.
var modelID = regexp.MustCompile(`[0-9a-f]{32}`)

// numberModels gives numbers to all widgets of a notebook, beginning with what those
// that have one refer to.
func numberModels(state map[string]any, ids map[string]int) {
	told := make(map[string]string, len(state)) // what each says, whatever its references' ids
	for id, model := range state {
		text, err := json.Marshal(model)
		if err != nil {
			panic(err) // it came from JSON
		}
		told[id] = string(text)
	}
	masked := func(id string) string { return modelID.ReplaceAllString(told[id], "") }
	left := slices.SortedFunc(maps.Keys(state), func(a, b string) int { return strings.Compare(masked(a), masked(b)) })
	number := func(id string) int {
		if n, ok := ids[id]; ok {
			return n
		}
		return math.MaxInt
	}
	for len(left) > 0 {
		// the first that has a number, else the first in the order of what they say
		next := slices.MinFunc(left, func(a, b string) int { return number(a) - number(b) })
		left = slices.DeleteFunc(left, func(id string) bool { return id == next })
		steady(next, ids)
		steady(told[next], ids)
	}
}

// steady replaces them in all texts of a JSON value. Widgets get numbers in the order
// in which they are met.
func steady(value any, ids map[string]int) any {
	switch value := value.(type) {
	case string:
		if len(value) > 64<<10 {
			return value // a text of the specimen's own making
		}
		for _, u := range unsteady {
			value = u.pattern.ReplaceAllString(value, u.with)
		}
		return modelID.ReplaceAllStringFunc(value, func(id string) string {
			if ids[id] == 0 {
				ids[id] = len(ids) + 1
			}
			return fmt.Sprintf("model %d", ids[id])
		})
	case []any:
		for i := range value {
			value[i] = steady(value[i], ids)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			item := steady(value[key], ids)
			delete(value, key)
			value[steady(key, ids).(string)] = item
		}
	}
	return value
}

func readSpecimens(t *testing.T) []specimen {
	t.Helper()
	files, err := filepath.Glob("testdata/differential/*.py")
	if err != nil || len(files) < 25 {
		t.Fatalf("got %d notebooks, %v", len(files), err)
	}
	var all []specimen
	reached := ""
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := parseSpecimen(t, string(data))
		s.name = strings.TrimSuffix(filepath.Base(file), ".py")
		s.golden = strings.TrimSuffix(file, ".py") + ".golden"
		all = append(all, s)
		reached += s.rows + "\n"
	}
	for _, row := range rowsToReach {
		if !strings.Contains(reached, row) {
			t.Errorf("no notebook reaches %q", row)
		}
	}
	return all
}

// rowsToReach are the rows of the table of edges that a real kernel reaches by itself.
var rowsToReach = []string{
	"reply before idle", "messages of another parent", "status aborted", "UsageError, no error output", "error output, but the reply is ok",
	`SystemExit ""`, "SystemExit 0", "SystemExit other", "exit() payload ask_exit", "os._exit", "segfault",
	"5 MB print", "many displays", "input()", "timeout", "cell eats KeyboardInterrupt",
	"clear_output wait at end; update of cleared id", "same display_id in three cells", "transient null, metadata missing, data {}",
	"buffers with comm_msg", "output widget", "empty/whitespace source; raw, markdown", "tag skip-execution",
}

// cellStart begins a cell in the percent format: a type and metadata may follow.
var cellStart = regexp.MustCompile(`(?m)^# %%(?: \[(\w+)\])?(?: (.*))?$\n?`)

func parseSpecimen(t *testing.T, text string) specimen {
	t.Helper()
	starts := cellStart.FindAllStringSubmatchIndex(text, -1)
	if starts == nil {
		t.Fatalf("no cells in %q", text)
	}
	s := parseHeader(t, text[:starts[0][0]])
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		kind, options := "code", ""
		if at[2] >= 0 {
			kind = text[at[2]:at[3]]
		}
		if at[4] >= 0 {
			options = text[at[4]:at[5]]
		}
		source := strings.TrimSuffix(text[at[1]:end], "\n")
		if kind != "code" {
			source = regexp.MustCompile(`(?m)^# ?`).ReplaceAllString(source, "")
		}
		cell := parseCell(t, kind, source, options)
		if s.minor >= 5 {
			cell["id"] = fmt.Sprintf("cell-%d", i+1)
		}
		s.cells = append(s.cells, cell)
	}
	return s
}

// parseHeader reads the comment on top.
func parseHeader(t *testing.T, header string) specimen {
	t.Helper()
	s := specimen{minor: 5}
	for line := range strings.Lines(header) {
		key, value, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "# ")), ": ")
		var err error
		switch key {
		case "Rows":
			s.rows = value
		case "Errors":
			s.allowErrors = value == "allowed"
		case "Timeout":
			s.timeout, err = time.ParseDuration(value)
		case "Format":
			_, err = fmt.Sscanf(value, "4.%d", &s.minor)
		case "Differs":
			s.differs = value
		default:
			err = fmt.Errorf("nobody knows what %q means", line)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if s.rows == "" {
		t.Fatalf("which rows does it reach? %q", header)
	}
	return s
}

// parseCell makes a cell, with what stands beside its start as key=JSON.
func parseCell(t *testing.T, kind, source, options string) map[string]any {
	t.Helper()
	metadata := map[string]any{}
	cell := map[string]any{"cell_type": kind, "metadata": metadata, "source": source}
	if kind == "code" {
		cell["execution_count"], cell["outputs"] = nil, []any{}
	}
	for options != "" {
		key, rest, ok := strings.Cut(options, "=")
		d := json.NewDecoder(strings.NewReader(rest))
		d.UseNumber()
		var value any
		if err := d.Decode(&value); err != nil || !ok {
			t.Fatalf("%q: %v", options, err)
		}
		switch key {
		case "source", "outputs", "execution_count", "attachments":
			cell[key] = value
		default:
			metadata[key] = value
		}
		options = strings.TrimSpace(rest[d.InputOffset():])
	}
	return cell
}

func (s specimen) notebook(t *testing.T) []byte {
	t.Helper()
	data, err := json.Marshal(map[string]any{
		"cells": s.cells, "metadata": map[string]any{}, "nbformat": 4, "nbformat_minor": s.minor,
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}
