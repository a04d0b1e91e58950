package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"nbpress/runner/internal/notebook"
	"nbpress/runner/internal/redact"
	"nbpress/runner/internal/render"
	"nbpress/runner/report"
)

// Job is what one attempt has to do: a bundle, for one asset and one window.
type Job struct {
	Run         RunID
	Generation  int
	Attempt     int
	Report      string
	Commit      string // that Bundle is of; "": not known
	Bundle      *report.Bundle
	Asset       report.Asset
	Languages   []string
	Window      Window
	ScheduledAt time.Time
	Vault       Vault      // has the secrets that reports are granted; nil: there are none
	Tokens      Tokens     // mints tokens for reports that ask for one; nil: their runs fail
	PlainPages  bool       // they are published without a Content-Security-Policy
	Pongo2      Renderer   // renders a bundle whose engine is pongo2; nil: there is none
	Progress    func(Step) // called as the attempt goes on; may be nil, must not block

	Env map[string]string // variables of the operator's, beside and over the bundle's
}

// Step says where an attempt is.
type Step struct {
	Stage    string    // start, token, files, kernel, cells, output or render
	Language string    // set where the notebook runs once per language
	Cell     *Progress // set within cells
}

// Outcome is all that an attempt leaves.
type Outcome struct {
	Outputs   Outputs                      // what the notebook wrote; set by Execute alone
	Pages     map[string][]byte            // by language: all of them, or nil
	Published map[string]map[string][]byte // by language: files for beside its page, by name
	Kept      map[string][]byte            // executed.ipynb, output.json, kernel.log: for whoever looks into the run
	Warnings  []string
	Failure   *Failure // nil: completed
	Sandbox   string
	Seconds   map[string]float64 // per stage, and of parts of one, as start.running
}

// Outputs are the output.json of each execution: by its language, or by "" where one
// serves all languages.
type Outputs map[string][]byte

// Limits on stages without one of their own.
const (
	logLimit      = 256 << 10
	renderTimeout = 60 * time.Second // of all languages; at most half of timeout.run, so that the blame is clear
	closeTimeout  = 30 * time.Second
)

// errRunTimeout is the cause of a context that ended by the run's own timeout.
var errRunTimeout = errors.New("run timeout")

// Press makes one attempt in a sandbox of its own. What the report or the
// infrastructure did wrong is the outcome's failure; the error is ctx's alone, when
// it ended before the attempt did.
func Press(ctx context.Context, exec Executor, job Job) (Outcome, error) {
	return attempt(ctx, job, func(ctx context.Context, p *press) error {
		return p.run(ctx, exec, func(outputs Outputs) error { return p.pages(ctx, p.renderer(), outputs) })
	})
}

// Execute does what Press does up to the rendering, for who renders more than once. The
// outcome has Outputs and no pages.
func Execute(ctx context.Context, exec Executor, job Job) (Outcome, error) {
	return attempt(ctx, job, func(ctx context.Context, p *press) error {
		return p.run(ctx, exec, func(outputs Outputs) error {
			p.outcome.Outputs = outputs
			return nil
		})
	})
}

// Render makes the pages of what was executed. The renderer is the bundle's engine.
func Render(ctx context.Context, renderer Renderer, job Job, outputs Outputs) (Outcome, error) {
	return attempt(ctx, job, func(ctx context.Context, p *press) error { return p.pages(ctx, renderer, outputs) })
}

// attempt bounds what is done of an attempt, and puts every error of it into a failure.
func attempt(ctx context.Context, job Job, do func(ctx context.Context, p *press) error) (Outcome, error) {
	limit := job.Bundle.Config.Timeout.Run
	bounded, cancel := context.WithTimeoutCause(ctx, limit, errRunTimeout)
	defer cancel()
	p := &press{job: job, left: fullBudget(), outcome: Outcome{
		Kept: map[string][]byte{}, Seconds: map[string]float64{}, Warnings: slices.Clone(job.Bundle.Warnings),
	}}
	err := do(bounded, p)
	p.outcome.Warnings = fitWarnings(p.redacted(p.outcome.Warnings))
	if ctx.Err() != nil {
		return p.outcome, ctx.Err()
	}
	var failure *Failure
	switch {
	case err == nil, errors.As(err, &failure):
	case context.Cause(bounded) == errRunTimeout:
		failure = &Failure{Code: RunTimeout, Message: fmt.Sprintf("the run took longer than timeout.run, %v; it was in the stage %q", limit, p.failed)}
	default:
		failure = &Failure{Code: Internal, Message: fmt.Sprintf("%s: %v", p.failed, err)}
	}
	if failure != nil {
		p.outcome.Failure, p.outcome.Pages, p.outcome.Published = failure.redact(p.hidden).fit(), nil, nil
	}
	return p.outcome, nil
}

// press is an attempt under way.
type press struct {
	job     Job
	sandbox Sandbox
	minter  Minter // nil where the report asks for no token
	token   Token  // the zero Token where the report asks for none
	outcome Outcome
	left    budget
	stage   string
	failed  string    // the first stage that failed
	entered time.Time // zero between stages

	secrets map[string]string // what the kernel's environment gets
	hiding  []redact.Secret   // what nothing that the attempt leaves may hold
	hidden  *redact.Redactor  // knows them
}

// run goes through the stages in their order, per language where that is asked for, and
// then does with the outputs what is to be done while the sandbox is there.
func (p *press) run(ctx context.Context, exec Executor, then func(Outputs) error) (err error) {
	err = p.in("start", "", func() error {
		if err := p.granted(ctx); err != nil {
			return err
		}
		p.sandbox, err = exec.Start(ctx, p.spec())
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if closeErr := p.sandbox.Close(cleanup); closeErr != nil { // its executor sweeps; the result is none the worse
			p.warn("the sandbox was not removed: %v", closeErr)
		}
	}()
	if named, ok := p.sandbox.(fmt.Stringer); ok {
		p.outcome.Sandbox = named.String()
	}
	if timed, ok := p.sandbox.(timedStart); ok {
		for part, took := range timed.StartParts() {
			p.outcome.Seconds["start."+part] = seconds(took)
		}
	}
	revoke, err := p.mint(ctx)
	defer revoke()
	if err != nil {
		return err
	}
	outputs := Outputs{}
	for _, language := range p.executions() {
		if outputs[language], err = p.execute(ctx, language); err != nil {
			return err
		}
	}
	return then(outputs)
}

// pages is the stage render.
func (p *press) pages(ctx context.Context, renderer Renderer, outputs Outputs) error {
	return p.in("render", "", func() error { return p.render(ctx, renderer, outputs) })
}

// granted gets what the report asks for, and refuses what nobody grants: no report runs
// without it.
func (p *press) granted(ctx context.Context) error {
	if err := p.findMinter(); err != nil {
		return err
	}
	return p.unlock(ctx, p.job.Bundle.Config.Secrets)
}

// in runs a stage.
func (p *press) in(stage, language string, f func() error) error {
	p.enter(stage, language)
	defer p.leave()
	err := f()
	if err != nil && p.failed == "" {
		p.failed = p.stage
	}
	return err
}

// enter begins a stage, and ends the one before it.
func (p *press) enter(stage, language string) {
	p.leave()
	p.stage, p.entered = stage, time.Now()
	p.progress(Step{Stage: stage, Language: language})
}

// leave adds up the time of the stage.
func (p *press) leave() {
	if p.entered.IsZero() {
		return
	}
	p.outcome.Seconds[p.stage] += seconds(time.Since(p.entered))
	p.entered = time.Time{}
}

// seconds is a duration as manifests have it, to the millisecond.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

func (p *press) progress(step Step) {
	if p.job.Progress != nil {
		p.job.Progress(step)
	}
}

func (p *press) spec() Spec {
	c := p.job.Bundle.Config
	env := make(map[string]string, len(c.Env)+len(p.job.Env))
	maps.Copy(env, c.Env)
	maps.Copy(env, p.job.Env)
	return Spec{
		Run: p.job.Run, Generation: p.job.Generation, Attempt: p.job.Attempt,
		Report: p.job.Report, Asset: p.job.Asset.ID, Slot: p.job.ScheduledAt, Commit: p.job.Commit,
		Image: c.Image, Env: env, Secrets: p.secrets,
		MilliCPU: c.Resources.MilliCPU, Memory: c.Resources.Memory,
		Deadline: time.Now().Add(c.Timeout.Run + claimSlack),
	}
}

// executions lists the languages that the notebook runs in; "" is a run for all.
func (p *press) executions() []string {
	if p.job.Bundle.ExecutePerLanguage {
		return p.job.Languages
	}
	return []string{""}
}

// execute runs the notebook once and returns its output.json. What it leaves is kept
// whether it failed or not.
func (p *press) execute(ctx context.Context, language string) (output []byte, err error) {
	err = p.in("files", language, func() error {
		folder, err := workFolder(p.job.Bundle.Files)
		if err != nil {
			return err
		}
		return p.sandbox.Put(ctx, folder)
	})
	if err != nil {
		return nil, err
	}
	failed := p.cells(ctx, language)
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err = p.in("output", language, func() error {
		if output, err = p.output(keep, language); err != nil && failed != nil {
			err = nil // the cell's failure says more
		}
		return err
	})
	return output, errors.Join(failed, err)
}

// cells runs the notebook in a kernel of its own, and ends the kernel.
func (p *press) cells(ctx context.Context, language string) (err error) {
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, p.sandbox.StopKernel(stop), p.keepLog(stop, language))
	}()
	return p.in("kernel", language, func() error {
		conn, died, err := p.sandbox.Kernel(ctx)
		if err != nil {
			return err
		}
		source := p.job.Bundle.Files[report.NotebookFile]
		var reasonTimeout time.Duration
		if slow, ok := p.sandbox.(slowToSay); ok {
			reasonTimeout = slow.ReasonTimeout()
		}
		executed, failure, warnings, err := executeFile(ctx, source, conn, died, CellsOptions{
			CellTimeout:   p.job.Bundle.Config.Timeout.Cell,
			Values:        p.values(language),
			ReasonTimeout: reasonTimeout,
			environment:   p.environment(),
			OutputLimit:   max(p.left.executed, leastExecuted),
			hidden:        p.hidden,
			Progress: func(c Progress) {
				if p.stage == "kernel" { // connected
					p.enter("cells", language)
				}
				p.progress(Step{Stage: "cells", Language: language, Cell: &c})
			},
		})
		p.outcome.Warnings = append(p.outcome.Warnings, warnings...)
		if len(executed) > 0 {
			p.outcome.Kept[artifactName("executed", language, ".ipynb")] = executed
			p.left.executed -= int64(len(executed))
		}
		if err == nil && failure != nil {
			return failure
		}
		return err
	})
}

// values is what $NAME stands for in environment cells.
func (p *press) values(language string) notebook.Values {
	values := notebook.Values{}
	for name, value := range p.job.Bundle.AssetParameters(p.job.Asset) {
		values[strings.ToUpper(name)] = value
	}
	if language == "" {
		language = p.job.Languages[0]
	}
	if language == report.PseudoLanguage { // which no notebook knows
		language = p.job.Bundle.Config.Languages[0]
	}
	maps.Copy(values, notebook.Values{
		"ASSET_ID": p.job.Asset.ID, "FROM_DAY": string(p.job.Window.FromDay), "TO_DAY": string(p.job.Window.ToDay),
		"LANGUAGE": language, "TOKEN": p.token.Value, "RUN_ID": string(p.job.Run),
		"SCHEDULED_AT": p.job.ScheduledAt.Format(time.RFC3339),
	})
	return values
}

// render makes every language's page, or none.
func (p *press) render(ctx context.Context, renderer Renderer, outputs Outputs) error {
	if renderer == nil {
		return errors.New("there is no renderer for " + p.job.Bundle.Config.Engine)
	}
	limit := min(renderTimeout, p.job.Bundle.Config.Timeout.Run/2)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request := render.Request{
		Template: p.job.Bundle.Template, Files: p.job.Bundle.Files, Includes: p.job.Bundle.Includes,
		Strict: p.job.Bundle.Config.Strict,
	}
	for _, execution := range p.executions() {
		request.Executions = append(request.Executions, render.Execution{
			Name: artifactName("output", execution, ".json"), Output: outputs[execution], Languages: p.served(execution),
		})
	}
	result, err := render.Pages(bounded, renderer, request)
	if ctx.Err() != nil {
		return ctx.Err() // the run's own time is up
	}
	if err != nil {
		return renderFailure(err, limit)
	}
	for _, language := range p.job.Languages {
		if name := p.hidden.In(result.Pages[language]); name != "" {
			return leaked("the page in "+language, name)
		}
	}
	p.outcome.Pages = result.Pages
	for _, language := range p.job.Languages {
		for _, warning := range policyOf(p.job.Bundle).Blocked(result.Pages[language]) {
			if !p.job.PlainPages && !slices.Contains(result.Warnings, warning) {
				result.Warnings = append(result.Warnings, warning)
			}
		}
	}
	p.outcome.Warnings = append(p.outcome.Warnings, result.Warnings...)
	return nil
}

// renderer is what renders the bundle: an interpreter in the sandbox, or pongo2.
func (p *press) renderer() Renderer {
	if p.job.Bundle.Config.Engine == report.EnginePongo2 {
		return p.job.Pongo2
	}
	return p.sandbox
}

// warn notes a warning.
func (p *press) warn(format string, args ...any) {
	p.outcome.Warnings = append(p.outcome.Warnings, fmt.Sprintf(format, args...))
}

// renderFailure puts an error of the renderer into the words of manifests.
func renderFailure(err error, limit time.Duration) error {
	var refused *render.Error
	tooLong := fmt.Sprintf("rendering took longer than %v", limit)
	switch {
	case errors.As(err, &refused) && Code(refused.Code) == RenderTimeout:
		refused.Message = tooLong
		return &Failure{Code: RenderTimeout, Message: refused.Error()}
	case errors.As(err, &refused):
		return &Failure{Code: Code(refused.Code), Message: refused.Error(), Traceback: refused.Traceback}
	case errors.Is(err, context.DeadlineExceeded): // and it was in code that heeds no clock of its own
		return &Failure{Code: RenderTimeout, Message: tooLong}
	}
	return err
}

// keepLog keeps what the kernel wrote to its standard output and error.
func (p *press) keepLog(ctx context.Context, language string) error {
	data, err := p.sandbox.Log(ctx, logLimit)
	if len(data) > 0 {
		p.outcome.Kept[artifactName("kernel", language, ".log")] = p.hidden.Bytes(hideEnds(data, p.hidden))
	}
	return err
}

func artifactName(base, language, suffix string) string {
	if language == "" {
		return base + suffix
	}
	return base + "." + language + suffix
}

// workFolder returns files as the fs.FS that a sandbox takes.
func workFolder(files map[string][]byte) (fs.FS, error) {
	var archive txtar.Archive // for its file system over files in memory
	for _, name := range slices.Sorted(maps.Keys(files)) {
		archive.Files = append(archive.Files, txtar.File{Name: name, Data: files[name]})
	}
	return txtar.FS(&archive)
}
