package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"nbpress/internal/testenv"
	"nbpress/runner"
	"nbpress/runner/internal/jupyter"
	"nbpress/runner/local"
	"nbpress/runner/report"
	"nbpress/runner/runnertest"
)

// TestMain lets the test binary be its own sandboxes' PID 1.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "sandbox-init" {
		os.Exit(local.Init())
	}
	os.Exit(m.Run())
}

// jobOf returns the job of a bundle's first asset.
func jobOf(b *report.Bundle) runner.Job {
	slot := slotOf(b, 6)
	return runner.Job{
		Run: idOf(slot, "plant-1"), Generation: 1, Attempt: 1, Report: b.Name, Bundle: b, Asset: b.Config.Assets[0],
		Languages: b.Config.Languages, Window: slot.Record.Window, ScheduledAt: slot.Record.ScheduledAt,
	}
}

// faulty makes sandboxes in which one thing or another fails.
type faulty struct {
	runnertest.FakeExecutor
	put, kernel, list, close error
	get                      map[string]error
	render                   func(ctx context.Context, stdin io.Reader, stdout io.Writer) error
	names                    []string // that List returns as well
}

func (f *faulty) Start(ctx context.Context, spec runner.Spec) (runner.Sandbox, error) {
	box, err := f.FakeExecutor.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return &faultyBox{box, f}, nil
}

type faultyBox struct {
	runner.Sandbox
	of *faulty
}

func (b *faultyBox) Put(ctx context.Context, fsys fs.FS) error {
	return errors.Join(b.Sandbox.Put(ctx, fsys), b.of.put)
}

func (b *faultyBox) Kernel(ctx context.Context) (jupyter.Connection, <-chan runner.Death, error) {
	if b.of.kernel != nil {
		return jupyter.Connection{}, nil, b.of.kernel
	}
	return b.Sandbox.Kernel(ctx)
}

func (b *faultyBox) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	if err := b.of.get[name]; err != nil {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	return b.Sandbox.Get(ctx, name, limit)
}

func (b *faultyBox) List(ctx context.Context) ([]string, error) {
	names, err := b.Sandbox.List(ctx)
	return append(names, b.of.names...), errors.Join(err, b.of.list)
}

func (b *faultyBox) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if b.of.render != nil {
		return b.of.render(ctx, stdin, stdout)
	}
	return b.Sandbox.Render(ctx, stdin, stdout, stderr)
}

func (b *faultyBox) Close(ctx context.Context) error {
	return errors.Join(b.Sandbox.Close(ctx), b.of.close)
}

func (b *faultyBox) StartParts() map[string]time.Duration {
	return map[string]time.Duration{"running": 1500 * time.Millisecond}
}

func TestPress_TellsThePartsOfAStart(t *testing.T) {
	outcome, err := runner.Press(t.Context(), &faulty{FakeExecutor: runnertest.FakeExecutor{OnCell: wroteAll}}, jobOf(bundleOf("plant-1")))
	if got, want := outcome.Seconds["start.running"], 1.5; err != nil || outcome.Failure != nil || got != want {
		t.Errorf("got %v s, want %v (%+v, %v)", got, want, outcome.Failure, err)
	}
}

// wroteAll is an OnCell that writes a few files.
func wroteAll(context.Context, runner.Spec, string) (map[string][]byte, error) {
	return map[string][]byte{
		"output.json": []byte("{}"), "a.xlsx": []byte("a"), "data/b.xlsx": []byte("b"), "index.html": []byte("no"), "c.csv": []byte("c"),
	}, nil
}

func TestPress_PutsEveryFailureIntoACode(t *testing.T) {
	no := errors.New("no route to host")
	says := func(answer string) func(context.Context, io.Reader, io.Writer) error {
		return func(_ context.Context, _ io.Reader, stdout io.Writer) error {
			_, err := fmt.Fprintln(stdout, answer)
			return err
		}
	}
	hang := func(ctx context.Context, _ runner.Spec) error { <-ctx.Done(); return ctx.Err() }
	tests := []struct {
		name    string
		exec    *faulty
		publish string
		timeout time.Duration // timeout.run
		code    runner.Code
		want    string // in the message
	}{
		{name: "no sandbox", exec: &faulty{FakeExecutor: runnertest.FakeExecutor{OnStart: func(context.Context, runner.Spec) error { return no }}},
			code: runner.Internal, want: "start: no route to host"},
		{name: "no sandbox, and the executor knows why", exec: &faulty{FakeExecutor: runnertest.FakeExecutor{OnStart: func(context.Context, runner.Spec) error {
			return fmt.Errorf("make a pod: %w", &runner.Failure{Code: runner.QuotaExceeded, Message: "pods: 10 of 10"})
		}}}, code: runner.QuotaExceeded, want: "pods: 10 of 10"},
		{name: "no sandbox in time", exec: &faulty{FakeExecutor: runnertest.FakeExecutor{OnStart: hang}}, timeout: 50 * time.Millisecond,
			code: runner.RunTimeout, want: `timeout.run, 50ms; it was in the stage "start"`},
		{name: "files do not go in", exec: &faulty{put: no}, code: runner.Internal, want: "files: no route to host"},
		{name: "no kernel", exec: &faulty{kernel: no}, code: runner.Internal, want: "kernel: no route to host"},
		{name: "no kernel, and the sandbox knows why", exec: &faulty{kernel: &runner.Failure{Code: runner.ImagePull, Message: "404"}},
			code: runner.ImagePull, want: "404"},
		{name: "the notebook raises", exec: &faulty{FakeExecutor: runnertest.FakeExecutor{OnCell: func(context.Context, runner.Spec, string) (map[string][]byte, error) {
			return nil, errors.New("no data")
		}}}, code: runner.CellError, want: "FakeError: no data"},
		{name: "no output", exec: &faulty{get: map[string]error{"output.json": fs.ErrNotExist}}, code: runner.OutputMissing, want: "output.json"},
		{name: "too much output", exec: &faulty{get: map[string]error{"output.json": runner.ErrTooLarge}}, code: runner.OutputTooLarge, want: "output.json"},
		{name: "forbidden output", exec: &faulty{get: map[string]error{"output.json": fs.ErrPermission}}, code: runner.OutputInvalid, want: "output.json"},
		{name: "output does not come out", exec: &faulty{get: map[string]error{"output.json": no}}, code: runner.Internal, want: "output: get output.json"},
		{name: "files cannot be listed", exec: &faulty{list: no}, publish: "*.xlsx", code: runner.Internal, want: "output: no route"},
		{name: "a published file is too large", exec: &faulty{get: map[string]error{"a.xlsx": runner.ErrTooLarge}}, publish: "*.xlsx",
			code: runner.OutputTooLarge, want: "a.xlsx"},
		{name: "a published file is forbidden", exec: &faulty{get: map[string]error{"a.xlsx": fs.ErrPermission}}, publish: "*.xlsx",
			code: runner.OutputInvalid, want: "a.xlsx"},
		{name: "a template is wrong", exec: &faulty{render: says(`{"error": {"code": "template_error", "message": "unexpected '}'", "file": "template.html", "line": 3}}`)},
			code: runner.TemplateError, want: "template.html:3: unexpected '}'"},
		{name: "the renderer dies", exec: &faulty{render: func(context.Context, io.Reader, io.Writer) error { return errors.New("signal: killed") }},
			code: runner.TemplateError, want: "signal: killed"},
		{name: "the renderer talks nonsense", exec: &faulty{render: says("hello")}, code: runner.TemplateError, want: "the answer is malformed"},
		{name: "the template does not end", exec: &faulty{render: func(ctx context.Context, _ io.Reader, _ io.Writer) error { <-ctx.Done(); return ctx.Err() }},
			timeout: 8 * time.Second, code: runner.RenderTimeout, want: "longer than 4s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bundle := bundleOf("plant-1")
			if test.timeout > 0 {
				bundle.Config.Timeout.Run = test.timeout
			}
			if test.publish != "" {
				bundle.Config.Publish = []string{test.publish}
			}
			if test.exec.OnCell == nil {
				test.exec.OnCell = wroteAll
			}
			outcome, err := runner.Press(t.Context(), test.exec, jobOf(bundle))
			if err != nil {
				t.Fatal(err)
			}
			if f := outcome.Failure; f == nil || f.Code != test.code || !strings.Contains(f.Message, test.want) {
				t.Errorf("got %+v, want %s: %s", f, test.code, test.want)
			}
			if outcome.Pages != nil || outcome.Published != nil {
				t.Errorf("something would be published: %v %v", outcome.Pages, outcome.Published)
			}
			if open, _ := test.exec.Open(); open != 0 {
				t.Error("the sandbox is left")
			}
		})
	}
}

func TestPress_RefusesWhatNobodyGrants(t *testing.T) {
	secret, token := bundleOf("plant-1"), bundleOf("plant-1")
	secret.Config.Secrets, token.Config.Token = []string{"DB_URL"}, "jwt"
	for code, bundle := range map[runner.Code]*report.Bundle{runner.SecretMissing: secret, runner.TokenFailed: token} {
		var exec runnertest.FakeExecutor
		outcome, err := runner.Press(t.Context(), &exec, jobOf(bundle))
		if err != nil || outcome.Failure == nil || outcome.Failure.Code != code {
			t.Errorf("got %+v, %v; want %s", outcome.Failure, err, code)
		}
		if n := len(exec.Started()); n != 0 {
			t.Errorf("%s: %d sandboxes were made", code, n)
		}
	}
}

// A result is a result, also when its sandbox would not go.
func TestPress_TakesASandboxThatCannotBeClosedAsAWarning(t *testing.T) {
	outcome, err := runner.Press(t.Context(), &faulty{close: errors.New("pod is stuck")}, jobOf(bundleOf("plant-1")))
	if err != nil || outcome.Failure != nil || len(outcome.Pages) != 2 {
		t.Fatalf("got %+v, %v; want two pages", outcome.Failure, err)
	}
	if w := strings.Join(outcome.Warnings, "\n"); !strings.Contains(w, "pod is stuck") {
		t.Errorf("warnings are %q", w)
	}
}

func TestPress_PublishesWhatMatchesBesideThePage(t *testing.T) {
	bundle := bundleOf("plant-1")
	bundle.Config.Publish = []string{"*.xlsx", "data/*", "*.pdf", "index.*"}
	outcome, err := runner.Press(t.Context(), &faulty{FakeExecutor: runnertest.FakeExecutor{OnCell: wroteAll}}, jobOf(bundle))
	if err != nil || outcome.Failure != nil {
		t.Fatal(outcome.Failure, err)
	}
	files := map[string][]byte{"a.xlsx": []byte("a"), "b.xlsx": []byte("b")}
	want := map[string]map[string][]byte{"en": files, "ca": files}
	if diff := cmp.Diff(want, outcome.Published); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	warned := []string{`publish: no file matches "*.pdf"`, `publish: no file matches "index.*"`} // the page has that name itself
	if diff := cmp.Diff(warned, outcome.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestPress_BoundsWhatIsPublished(t *testing.T) {
	files := map[string][]byte{"output.json": []byte("{}")}
	for i := range 51 {
		files[fmt.Sprintf("%02d.csv", i)] = nil
	}
	big := make([]byte, 40<<20)
	tests := map[string]map[string][]byte{
		"many files": files,
		"big files":  {"output.json": []byte("{}"), "a.csv": big, "b.csv": big},
	}
	for name, files := range tests {
		t.Run(name, func(t *testing.T) {
			bundle := bundleOf("plant-1")
			bundle.Config.Publish = []string{"*.csv"}
			exec := &runnertest.FakeExecutor{OnCell: func(context.Context, runner.Spec, string) (map[string][]byte, error) { return files, nil }}
			outcome, err := runner.Press(t.Context(), exec, jobOf(bundle))
			if err != nil || outcome.Failure == nil || outcome.Failure.Code != runner.OutputTooLarge {
				t.Errorf("got %+v, %v; want output_too_large", outcome.Failure, err)
			}
		})
	}
}

func TestPress_RefusesNamesThatCannotStandBesideThePage(t *testing.T) {
	for _, names := range [][]string{
		{`a\b.csv`}, {"caf\xe9.csv"}, {"año.csv"}, {"-rf.csv"}, {"a:b.csv"}, {strings.Repeat("x", 126) + ".csv"},
		{"north/t.csv", "south/t.csv"}, {"north/T.csv", "south/t.csv"},
	} {
		t.Run(strings.Join(names, " "), func(t *testing.T) {
			files, strange := map[string][]byte{"output.json": []byte("{}"), "fine.csv": nil}, []string(nil)
			for _, name := range names {
				if fs.ValidPath(name) {
					files[name] = []byte(name)
				} else {
					strange = append(strange, name) // of a real file system only
				}
			}
			bundle := bundleOf("plant-1")
			bundle.Config.Publish = []string{"*.csv", "*/*.csv"}
			exec := &faulty{names: strange}
			exec.OnCell = func(context.Context, runner.Spec, string) (map[string][]byte, error) { return files, nil }
			outcome, err := runner.Press(t.Context(), exec, jobOf(bundle))
			if err != nil || outcome.Failure == nil || outcome.Failure.Code != runner.OutputInvalid {
				t.Fatalf("got %+v, %v; want output_invalid", outcome.Failure, err)
			}
			for _, name := range names {
				if quoted := fmt.Sprintf("%q", name); !strings.Contains(outcome.Failure.Message, quoted) {
					t.Errorf("the message %q does not name %s", outcome.Failure.Message, quoted)
				}
			}
		})
	}
}

func TestPress_NeverPublishesHiddenFilesNorAFileTwice(t *testing.T) {
	files := map[string][]byte{
		"output.json": []byte("{}"), ".htaccess": []byte("x"), ".git/config": []byte("x"), "tables/.x": []byte("x"),
		"INDEX.html": []byte("x"), "report.ipynb": []byte(cell), "tables/Year 2026-v1_2.csv": []byte("y"),
	}
	bundle := bundleOf("plant-1")
	bundle.Config.Publish = []string{"*", "*/*", "tables/*.csv", ".ht*"}
	exec := &runnertest.FakeExecutor{OnCell: func(context.Context, runner.Spec, string) (map[string][]byte, error) { return files, nil }}
	outcome, err := runner.Press(t.Context(), exec, jobOf(bundle))
	if err != nil || outcome.Failure != nil {
		t.Fatal(outcome.Failure, err)
	}
	want := map[string][]byte{"output.json": []byte("{}"), "Year 2026-v1_2.csv": []byte("y")}
	if diff := cmp.Diff(want, outcome.Published["ca"]); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

// A report that runs once per language may leave as much as one that runs once.
func TestPress_BoundsAllLanguagesTogether(t *testing.T) {
	big := make([]byte, 40<<20)
	tests := map[string]struct {
		files map[string][]byte
		want  runner.Code
	}{
		"output.json":     {map[string][]byte{"output.json": big}, runner.OutputTooLarge},
		"published files": {map[string][]byte{"output.json": nil, "a.csv": big}, runner.OutputTooLarge},
		"pages":           {nil, runner.TemplateError},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bundle := bundleOf("plant-1")
			bundle.ExecutePerLanguage, bundle.Config.Publish = true, []string{"*.csv"}
			exec := &faulty{FakeExecutor: runnertest.FakeExecutor{OnCell: func(context.Context, runner.Spec, string) (map[string][]byte, error) {
				return test.files, nil
			}}}
			if test.files == nil {
				exec.render = func(_ context.Context, _ io.Reader, stdout io.Writer) error {
					for _, language := range []string{"en", "ca"} {
						fmt.Fprintf(stdout, "{\"language\": %q, \"bytes\": %d}\n%s", language, len(big), big)
					}
					_, err := fmt.Fprintln(stdout, `{"done": true}`)
					return err
				}
			}
			outcome, err := runner.Press(t.Context(), exec, jobOf(bundle))
			if err != nil || outcome.Failure == nil || outcome.Failure.Code != test.want {
				t.Errorf("got %+v, %v; want %s", outcome.Failure, err, test.want)
			}
		})
	}
}

func TestPress_FitsWhatItSaysIntoAManifest(t *testing.T) {
	const hostile = "\x1b]0;title\a\x1b\x1b[m[2J\u009b1m\r"
	long := hostile + strings.Repeat("0123456789", 1<<19)
	quoted, err := json.Marshal(long)
	if err != nil {
		t.Fatal(err)
	}
	answers := func(format string) func(context.Context, io.Reader, io.Writer) error {
		return func(_ context.Context, _ io.Reader, stdout io.Writer) error {
			_, err := fmt.Fprintf(stdout, format+"\n", quoted)
			return err
		}
	}
	raises := func(context.Context, runner.Spec, string) (map[string][]byte, error) { return nil, errors.New(long) }
	tests := map[string]*faulty{
		"a cell's error":     {FakeExecutor: runnertest.FakeExecutor{OnCell: raises}},
		"a template's error": {render: answers(`{"error": {"code": "template_error", "message": %[1]s, "file": "t.html", "line": 1, "traceback": %[1]s}}`)},
		"an internal error":  {kernel: errors.New(long)},
		"warnings": {render: func(_ context.Context, _ io.Reader, stdout io.Writer) error {
			warnings := strings.Repeat(`{"message": "'a' is undefined", "file": "t.html", "line": 1},`, 9)
			for i := range 20_000 {
				warnings += fmt.Sprintf(`{"message": "'x%d' is undefined"},`, i)
			}
			_, err := fmt.Fprintf(stdout, "{\"language\": \"en\", \"bytes\": 0}\n{\"language\": \"ca\", \"bytes\": 0}\n{\"done\": true, \"warnings\": [%s{\"message\": %s}]}\n", warnings, quoted)
			return err
		}},
	}
	for name, exec := range tests {
		t.Run(name, func(t *testing.T) {
			outcome, err := runner.Press(t.Context(), exec, jobOf(bundleOf("plant-1")))
			if err != nil {
				t.Fatal(err)
			}
			texts := outcome.Warnings
			if f := outcome.Failure; f != nil {
				texts = append(texts, f.Message, f.Traceback)
			}
			all := strings.Join(texts, "\n")
			if len(all) == 0 || len(all) > 100<<10 {
				t.Errorf("%d bytes for the manifest: %.200q", len(all), all)
			}
			if i := strings.IndexFunc(all, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 {
				t.Errorf("a control character: %.80q", all[i:])
			}
		})
	}
}

func TestPress_ExecutesOncePerLanguageWhereAsked(t *testing.T) {
	bundle := bundleOf("plant-1")
	bundle.ExecutePerLanguage, bundle.Config.Publish = true, []string{"*.csv"}
	bundle.Files[report.NotebookFile] = []byte(strings.Replace(cell, "$SCHEDULED_AT", "$LANGUAGE", 1))
	exec := &runnertest.FakeExecutor{OnCell: func(_ context.Context, _ runner.Spec, source string) (map[string][]byte, error) {
		language := source[len(source)-4:]
		return map[string][]byte{"output.json": []byte(language), "readings.csv": []byte(language)}, nil
	}}
	job := jobOf(bundle)
	var steps []string
	job.Progress = func(s runner.Step) {
		if s.Cell == nil {
			steps = append(steps, s.Stage+" "+s.Language)
		}
	}
	outcome, err := runner.Press(t.Context(), exec, job)
	if err != nil || outcome.Failure != nil {
		t.Fatal(outcome.Failure, err)
	}
	pages := map[string][]byte{"en": []byte(`en "en"`), "ca": []byte(`ca "ca"`)}
	if diff := cmp.Diff(pages, outcome.Pages); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	published := map[string]map[string][]byte{
		"en": {"readings.csv": []byte(`"en"`)}, "ca": {"readings.csv": []byte(`"ca"`)},
	}
	if diff := cmp.Diff(published, outcome.Published); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	kept := strings.Fields("executed.ca.ipynb executed.en.ipynb kernel.ca.log kernel.en.log output.ca.json output.en.json")
	if diff := cmp.Diff(kept, slices.Sorted(maps.Keys(outcome.Kept))); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	want := []string{"start ", "files en", "kernel en", "cells en", "output en", "files ca", "kernel ca", "cells ca", "output ca", "render "}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	if len(exec.Started()) != 1 {
		t.Errorf("%d sandboxes, want one for all languages", len(exec.Started()))
	}
}

func TestPress_PublishesNothingWhereOneLanguageFails(t *testing.T) {
	bundle := bundleOf("plant-1")
	bundle.ExecutePerLanguage = true
	calls := 0
	exec := &runnertest.FakeExecutor{OnCell: func(context.Context, runner.Spec, string) (map[string][]byte, error) {
		if calls++; calls == 2 {
			return nil, errors.New("no Catalan data")
		}
		return nil, nil
	}}
	outcome, err := runner.Press(t.Context(), exec, jobOf(bundle))
	if err != nil || outcome.Failure == nil || outcome.Pages != nil {
		t.Errorf("got %+v with pages %v, %v", outcome.Failure, outcome.Pages, err)
	}
	if outcome.Kept["executed.ca.ipynb"] == nil || outcome.Kept["output.en.json"] == nil {
		t.Errorf("kept only %v", slices.Sorted(maps.Keys(outcome.Kept)))
	}
}

func TestPress_ReturnsTheContextsErrorWhenItEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	exec := &runnertest.FakeExecutor{OnCell: func(ctx context.Context, _ runner.Spec, _ string) (map[string][]byte, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	outcome, err := runner.Press(ctx, exec, jobOf(bundleOf("plant-1")))
	if !errors.Is(err, context.Canceled) || outcome.Failure != nil {
		t.Errorf("got %+v, %v; want the context's error", outcome.Failure, err)
	}
	if open, _ := exec.Open(); open != 0 {
		t.Error("the sandbox is left")
	}
}

// notebookOf returns a notebook with the given code cells.
func notebookOf(cells ...string) []byte {
	var parts []string
	for i, source := range cells {
		parts = append(parts, fmt.Sprintf(`{"cell_type": "code", "id": "c%d", "metadata": {}, "outputs": [], "execution_count": null, "source": %q}`, i, source))
	}
	return []byte(`{"cells": [` + strings.Join(parts, ",") + `], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}`)
}

// TestPress_WithARealKernel goes through the stages with Python.
func TestPress_WithARealKernel(t *testing.T) {
	exec, err := local.New(t.Context(), local.Options{
		Python: testenv.Python(t), Dir: t.TempDir(), Init: []string{"/proc/self/exe", "sandbox-init"}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	const write = "import json\njson.dump({'asset': asset, 'limit': limit, 'days': days}, open('output.json', 'w'))"
	const environment = "#Environment\nasset = '$ASSET_ID'\nlimit = '$LIMIT'\ndays = ['$FROM_DAY', '$TO_DAY']"
	tests := []struct {
		name     string
		cells    []string
		template string
		timeout  time.Duration
		page     string // the English one; "" for none
		code     runner.Code
		want     string // in the message
		at       *runner.CellRef
		kept     string // no log: the kernel had nothing to say
	}{
		{
			name: "completed", cells: []string{environment, write},
			template: "{{ asset }} {{ limit + 1 }} {{ days|join(' ') }} {{ language }}",
			page:     "plant-1 8 2026-11-16 2026-11-22 en", kept: "executed.ipynb output.json",
		}, {
			name:  "a cell that raises after output.json was written",
			cells: []string{environment, write, "x = 1\nx / 0"}, template: "never",
			code: runner.CellError, want: "ZeroDivisionError: division by zero", at: &runner.CellRef{Index: 2, ExecutionCount: 3, Line: 2},
			kept: "executed.ipynb output.json",
		}, {
			name: "a run that takes too long", cells: []string{"import time\ntime.sleep(999)"}, timeout: 30 * time.Second,
			code: runner.RunTimeout, want: "time was up", at: &runner.CellRef{Index: 0, ExecutionCount: 1, Line: 2}, kept: "executed.ipynb",
		}, {
			name: "a template with a mistake", cells: []string{environment, write}, template: "<p>\n{% if asset %}\n{{ asset|nofilter }}",
			code: runner.TemplateError, want: "template.html:3: ", kept: "executed.ipynb output.json",
		}, {
			name: "output that is no object", cells: []string{"open('output.json', 'w').write('[1]')"}, template: "x",
			code: runner.OutputInvalid, want: "object", kept: "executed.ipynb output.json",
		}, {
			name: "no output", cells: []string{"1"}, template: "x", code: runner.OutputMissing, want: "output.json", kept: "executed.ipynb",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bundle := bundleOf("plant-1")
			bundle.Config.Assets[0].Parameters = map[string]any{"limit": 7}
			bundle.Files[report.NotebookFile], bundle.Files[report.TemplateFile] = notebookOf(test.cells...), []byte(test.template)
			if test.timeout > 0 {
				bundle.Config.Timeout.Run = test.timeout
			}
			outcome, err := runner.Press(t.Context(), exec, jobOf(bundle))
			if err != nil {
				t.Fatal(err)
			}
			f := outcome.Failure
			if f == nil {
				f = &runner.Failure{}
			}
			if f.Code != test.code || !strings.Contains(f.Message, test.want) || test.at != nil && !cmp.Equal(f.Cell, test.at) {
				t.Errorf("got %s: %s at %+v, want %s: %s at %+v", f.Code, f.Message, f.Cell, test.code, test.want, test.at)
			}
			if got := string(outcome.Pages["en"]); got != test.page {
				t.Errorf("page is %q, want %q", got, test.page)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(outcome.Kept)), " "); got != test.kept {
				t.Errorf("kept %s, want %s", got, test.kept)
			}
		})
	}
}
