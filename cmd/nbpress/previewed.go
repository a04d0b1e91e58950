package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nbpress/internal/preview"
	"nbpress/runner"
	"nbpress/runner/report"
)

// previewed is a report that its author works on: what is on disk, and what its notebook
// wrote. It implements preview.Report.
type previewed struct {
	dir    string
	flags  runFlags
	exec   runner.Executor
	jinja2 runner.Renderer

	secrets vault         // of --secret
	mint    runner.Tokens // of --token

	changed func()            // has the browser show the page anew
	status  func(text string) // tells it what goes on

	spawn func(work func(ctx context.Context)) context.CancelFunc // in the background, until canceled or closed
	end   context.CancelFunc                                      // of all that was spawned
	wait  sync.WaitGroup                                          // for it

	mu         sync.Mutex // guards what follows
	closed     bool
	bundle     *report.Bundle
	broken     error                        // why there is no bundle
	choices    preview.Choices              // of the last bundle that there was
	inputs     [sha256.Size]byte            // of what executions depend on
	written    []byte                       // the output.json in the folder
	executions map[string]*previewExecution // by their keys
	shown      string                       // the key of what was asked for last
}

// previewExecution is one of the notebook's.
type previewExecution struct {
	cancel  context.CancelFunc // another one is to take its place
	doing   string             // a stage, until it is done
	outcome runner.Outcome
	err     error
	written []byte // an output.json that its author wrote since; nil for none
}

func newPreviewed(dir string, flags runFlags, exec runner.Executor, jinja2 runner.Renderer) *previewed {
	p := &previewed{dir: dir, flags: flags, exec: exec, jinja2: jinja2, executions: map[string]*previewExecution{}}
	p.choices = preview.Choices{Title: filepath.Base(dir), Assets: []preview.Asset{{ID: "-", Languages: []string{"-"}}}}
	ctx, cancel := context.WithCancel(context.Background())
	p.end, p.spawn = cancel, func(work func(ctx context.Context)) context.CancelFunc {
		own, cancel := context.WithCancel(ctx)
		p.wait.Go(func() {
			defer cancel()
			work(own)
		})
		return cancel
	}
	p.written = p.readWritten()
	return p
}

// close ends the executions and waits for them.
func (p *previewed) close() {
	p.mu.Lock()
	p.closed = true // a request under way begins nothing any more
	p.mu.Unlock()
	p.end()
	p.wait.Wait()
}

func (p *previewed) readWritten() []byte {
	data, err := os.ReadFile(filepath.Join(p.dir, "output.json"))
	if err != nil || len(data) > 64<<20 {
		return nil
	}
	return data
}

// reload reads the bundle again and forgets what its notebook wrote if the notebook, or
// what it reads, is another one.
func (p *previewed) reload() {
	bundle, err := loadBundle(p.dir)
	written := p.readWritten()
	p.mu.Lock()
	p.bundle, p.broken = bundle, err
	if bundle != nil {
		p.choices = choicesOf(bundle)
		bundle.AddPseudo()
		if inputs := executionInputs(bundle); inputs != p.inputs {
			p.inputs = inputs
			p.forget()
		}
	}
	if e := p.executions[p.shown]; written != nil && !bytes.Equal(written, p.written) && e != nil {
		e.written = written
	}
	p.written = written
	p.mu.Unlock()
	p.changed()
}

// forget drops all executions. The caller holds mu.
func (p *previewed) forget() {
	for _, e := range p.executions {
		e.cancel()
	}
	clear(p.executions)
}

// executionInputs is what executions of the notebook depend on: all but the page's
// templates, the catalogs and the outputs that Jupyter stores in the notebook.
func executionInputs(b *report.Bundle) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		switch {
		case name == report.NotebookFile, name == report.ConfigFile, strings.HasPrefix(name, "languages/"):
		case slices.Contains(b.Templates, name):
		default:
			fmt.Fprintf(h, "%q %q\n", name, b.Files[name])
		}
	}
	for _, cell := range b.Notebook.Cells {
		fmt.Fprintf(h, "%q %q %v\n", cell.Type, cell.Source, cell.Metadata["tags"])
	}
	c := b.Config
	fmt.Fprintf(h, "%+v %q %q %q %v %q", c.Assets, c.Parameters, c.Env, c.Publish, b.ExecutePerLanguage, c.Window)
	h.Sum(sum[:0])
	return sum
}

// Choices implements preview.Report.
func (p *previewed) Choices() preview.Choices {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.choices
}

// choicesOf returns what a bundle offers.
func choicesOf(b *report.Bundle) preview.Choices {
	c := preview.Choices{Title: cmp.Or(b.Config.Title, b.Name)}
	for _, a := range b.Config.Assets {
		c.Assets = append(c.Assets, preview.Asset{ID: a.ID, Name: a.Name, Languages: previewLanguages(b, a)})
	}
	return c
}

// previewLanguages are those of an asset's pages, and the one that nobody speaks.
func previewLanguages(b *report.Bundle, a report.Asset) []string {
	return append(slices.Clone(b.AssetLanguages(a)), report.PseudoLanguage)
}

// Again implements preview.Report.
func (p *previewed) Again(asset, language string) {
	p.mu.Lock()
	if job, err := p.job(asset, language); err == nil {
		if e := p.executions[keyOf(job)]; e != nil {
			e.cancel()
			delete(p.executions, keyOf(job))
		}
	}
	p.mu.Unlock()
	p.changed()
}

// keyOf names a job's execution.
func keyOf(job runner.Job) string { return job.Asset.ID + "\n" + executedIn(job) }

// executedIn is the language that a job's execution is for: "", since it serves all of
// them, unless the notebook reads its language.
func executedIn(job runner.Job) string {
	if job.Bundle.ExecutePerLanguage {
		return job.Languages[0]
	}
	return ""
}

// job returns what there is to do for a page. The caller holds mu.
func (p *previewed) job(asset, language string) (runner.Job, error) {
	if p.bundle == nil {
		return runner.Job{}, p.broken
	}
	about, ok := p.bundle.Asset(asset)
	if !ok || !slices.Contains(previewLanguages(p.bundle, about), language) {
		return runner.Job{}, fmt.Errorf("the report has no asset %q, or no language %q", asset, language)
	}
	now := time.Now()
	window, err := p.flags.days(p.bundle, now)
	if err != nil {
		return runner.Job{}, err
	}
	return runner.Job{
		Run: runner.NewRunID(p.bundle.Name, asset, now), Generation: 1, Attempt: 1, Report: p.bundle.Name,
		Bundle: p.bundle, Asset: about, Languages: []string{language}, Window: window, ScheduledAt: now,
		Vault: p.secrets, Tokens: p.mint,
	}, nil
}

// Page implements preview.Report.
func (p *previewed) Page(ctx context.Context, asset, language string) preview.Page {
	p.mu.Lock()
	job, err := p.job(asset, language)
	if err != nil {
		p.mu.Unlock()
		return preview.Page{Trouble: &preview.Trouble{What: strings.TrimSpace(err.Error()), Do: "Mend what is listed; the page comes back when it is saved."}}
	}
	p.shown = keyOf(job)
	e := p.executions[p.shown]
	if e == nil && !p.closed {
		e = p.execute(job)
	}
	if e == nil {
		p.mu.Unlock()
		return preview.Page{Running: "the preview has ended"}
	}
	doing, outcome, failed := e.doing, e.outcome, e.err
	if e.written != nil && failed == nil {
		outcome.Failure, outcome.Outputs = nil, runner.Outputs{executedIn(job): e.written}
	}
	p.mu.Unlock()
	switch {
	case doing != "":
		return preview.Page{Running: asset + ": " + doing}
	case failed != nil:
		return preview.Page{Trouble: &preview.Trouble{What: failed.Error(), Do: "Run it again."}}
	case outcome.Failure != nil:
		return preview.Page{Trouble: troubleOf(outcome.Failure, job.Bundle), Warnings: outcome.Warnings}
	}
	return p.render(ctx, job, outcome)
}

// execute begins an execution. The caller holds mu.
func (p *previewed) execute(job runner.Job) *previewExecution {
	e := &previewExecution{doing: "start"}
	p.executions[keyOf(job)] = e
	if !job.Bundle.ExecutePerLanguage {
		job.Languages = previewLanguages(job.Bundle, job.Asset)
	}
	started := time.Now()
	job.Progress = func(s runner.Step) {
		text := s.Stage
		if s.Cell != nil {
			text = fmt.Sprintf("cell %d of %d", s.Cell.Cell, s.Cell.Cells)
		}
		p.mu.Lock()
		e.doing = text
		p.mu.Unlock()
		p.status(job.Asset.ID + ": " + text)
	}
	e.cancel = p.spawn(func(ctx context.Context) {
		outcome, err := runner.Execute(ctx, p.exec, job)
		p.mu.Lock()
		e.doing, e.outcome, e.err = "", outcome, err
		p.mu.Unlock()
		if errors.Is(err, context.Canceled) {
			return // another one takes its place
		}
		p.status(fmt.Sprintf("%s: executed in %.1f s", job.Asset.ID, time.Since(started).Seconds()))
		p.changed()
	})
	return e
}

// render makes the page of what was executed.
func (p *previewed) render(ctx context.Context, job runner.Job, executed runner.Outcome) preview.Page {
	renderer := p.jinja2
	if job.Bundle.Config.Engine == report.EnginePongo2 {
		renderer = selfPongo2()
	}
	started := time.Now()
	outcome, err := runner.Render(ctx, renderer, job, executed.Outputs)
	if err != nil {
		return preview.Page{Trouble: &preview.Trouble{What: err.Error()}}
	}
	warnings := slices.Clone(executed.Warnings)
	for _, warning := range outcome.Warnings {
		if !slices.Contains(warnings, warning) {
			warnings = append(warnings, warning)
		}
	}
	language := job.Languages[0]
	if outcome.Failure != nil {
		p.status(fmt.Sprintf("%s, %s: %s", job.Asset.ID, language, outcome.Failure.Code))
		return preview.Page{Trouble: troubleOf(outcome.Failure, job.Bundle), Warnings: warnings}
	}
	p.status(fmt.Sprintf("%s, %s: rendered in %d ms", job.Asset.ID, language, time.Since(started).Milliseconds()))
	return preview.Page{
		HTML: runner.Secured(outcome.Pages[language], job.Bundle), Files: executed.Published[language], Warnings: warnings,
	}
}

// templatePlace finds the file and line at the start of a failure's message.
var templatePlace = regexp.MustCompile(`^([^:\n]+):(\d+): `)

// cutPlace takes the file and line from the start of a failure's message; "" for none.
func cutPlace(message string) (file string, line int, rest string) {
	place := templatePlace.FindStringSubmatch(message)
	if place == nil {
		return "", 0, message
	}
	line, _ = strconv.Atoi(place[2]) // 0, which no file has, where it is too large
	return place[1], line, strings.TrimPrefix(message, place[0])
}

// troubleOf puts a failure into the words of a page.
func troubleOf(f *runner.Failure, bundle *report.Bundle) *preview.Trouble {
	t := &preview.Trouble{What: fmt.Sprintf("%s: %s", f.Code, f.Message), Detail: f.Traceback, Do: f.Advice()}
	switch file, line, _ := cutPlace(f.Message); {
	case f.Cell != nil:
		t.What += "\n" + whereInNotebook(f.Cell)
		if all := sources(bundle); f.Cell.Index < len(all) {
			t.Where = quoteSource(all[f.Cell.Index], f.Cell.Line)
		}
	case file != "":
		t.Where = linesAround(string(bundle.Files[file]), line)
	}
	return t
}

// linesAround shows a few lines of a file with one of them marked.
func linesAround(text string, marked int) string {
	const around = 3
	var b strings.Builder
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if n := i + 1; n >= marked-around && n <= marked+around {
			mark := " "
			if n == marked {
				mark = ">"
			}
			fmt.Fprintf(&b, "%s %3d  %s\n", mark, n, line)
		}
	}
	return b.String()
}
