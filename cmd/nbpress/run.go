package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nbpress/runner"
	"nbpress/runner/local"
	"nbpress/runner/report"
	"nbpress/schedule"
)

// runFlags are the flags of `nbpress run`.
type runFlags struct {
	assets, languages []string
	from, to, window  string
	out, python       string
	where             personal // its config is "": on this machine
	secrets           []string
	token             string
}

func runCommand(std streams) *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run BUNDLE",
		Short: "Run one report here and now, and write its pages into a folder",
		Long: `Run one report here and now: execute its notebook for every asset, render every
language and write the pages into OUT/ASSET/LANGUAGE/index.html, in place of what an earlier run
left there. No agent, no Git, no configuration.

With --config the report runs where the agent of that nbpress.yaml runs reports: as a pod
of its cluster, reached through a port-forward, or with its Python. The agent is not
concerned, and nothing goes to store or ledger.

The window is the one that the report would cover if it were due now; --window names
another, --from and --to give the days.

The language "pseudo" is nobody's: its pages have every text accented, longer and in
brackets, so that a text that nobody can translate, or that has no room, stands out.`,
		Example: `  nbpress run reports-example/weekly-energy --asset plant-1
  nbpress run weekly-energy --window last_month --language ca --out /tmp/look
  nbpress run weekly-energy --config nbpress.yaml --kubeconfig ~/.kube/config   # as a pod`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runBundle(cmd.Context(), std, args[0], flags) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&flags.assets, "asset", nil, "run this asset only (may be repeated; default: all that are enabled)")
	f.StringArrayVar(&flags.languages, "language", nil, "render this language only (may be repeated)")
	f.StringVar(&flags.from, "from", "", "first day of the window, YYYY-MM-DD")
	f.StringVar(&flags.to, "to", "", "last day of the window, YYYY-MM-DD")
	f.StringVar(&flags.window, "window", "", "a window by name, such as last_week")
	f.StringVar(&flags.out, "out", "", "folder for the pages (default: nbpress-out/REPORT)")
	f.StringVar(&flags.python, "python", "", pythonUsage)
	flags.where.flags(cmd, "")
	cmd.MarkFlagsMutuallyExclusive("python", "config")
	f.StringArrayVar(&flags.secrets, "secret", nil, secretUsage)
	f.StringVar(&flags.token, "token", "", tokenUsage+" (default, with --config: as the agent mints it)")
	cmd.MarkFlagsMutuallyExclusive("window", "from")
	cmd.MarkFlagsRequiredTogether("from", "to")
	return cmd
}

const pythonUsage = "the interpreter with ipykernel and Jinja2 (default: of $VIRTUAL_ENV, of .venv, or python3)"

// runBundle runs a bundle for the assets asked for, one after the other, and fails
// when one of them did.
func runBundle(ctx context.Context, std streams, dir string, flags runFlags) error {
	bundle, err := loadBundle(dir)
	if err != nil {
		return err
	}
	if slices.Contains(flags.languages, report.PseudoLanguage) {
		bundle.AddPseudo()
	}
	assets, err := flags.chosen(bundle)
	if err != nil {
		return wrongUse(err)
	}
	secrets, err := flagVault(flags.secrets)
	if err == nil {
		err = secrets.checkNamed(bundle)
	}
	if err != nil {
		return wrongUse(err)
	}
	mint, err := flags.tokens(bundle)
	if err != nil {
		return wrongUse(err)
	}
	now := time.Now()
	window, err := flags.days(bundle, now)
	if err != nil {
		return wrongUse(err)
	}
	exec, err := flags.engine(ctx, consoleLog(std))
	if err != nil {
		return err
	}
	defer exec.close()
	out := cmp.Or(flags.out, filepath.Join("nbpress-out", filepath.FromSlash(bundle.Name)))
	failed := 0
	fmt.Fprintf(std.err, "%s, %s to %s; %s\n", bundle.Name, window.FromDay, window.ToDay, bundle.ExecuteReason)
	for _, asset := range assets {
		show := newProgress(std.err, bundle.Name+"/"+asset.ID)
		outcome, err := runner.Press(ctx, exec, runner.Job{
			Run:        runner.NewRunID(bundle.Name, asset.ID, now),
			Generation: 1, Attempt: 1, Report: bundle.Name, Bundle: bundle, Asset: asset,
			Languages: flags.languagesOf(bundle, asset), Window: window, ScheduledAt: now,
			Pongo2: selfPongo2(), Vault: secrets, Tokens: mint, Progress: show.step,
		})
		if err == nil {
			err = write(filepath.Join(out, asset.ID), outcome)
		}
		if err != nil {
			show.done("not finished")
			return err
		}
		if show.outcome(outcome, bundle, filepath.Join(out, asset.ID)); outcome.Failure != nil {
			failed++
		}
	}
	if failed > 0 {
		return &exitError{status: exitReportFailed, err: fmt.Errorf("%d of %d assets failed", failed, len(assets))}
	}
	return nil
}

// tokens returns what mints the token that a report asks for: --token, or what the agent of
// --config has.
func (f runFlags) tokens(bundle *report.Bundle) (runner.Tokens, error) {
	mint, err := flagTokens(f.token)
	if err == nil && f.token == "" && f.where.config != "" && bundle.Config.Token != "" {
		c, err := readConfig(f.where.config)
		if err != nil {
			return nil, err
		}
		t, err := c.Token.open()
		if err != nil {
			return nil, err
		}
		mint = t.minter
	}
	if err == nil && bundle.Config.Token != "" { // before anything is started
		_, err = mint(bundle.Name, bundle.Config.Token)
	}
	return mint, err
}

// engine returns where to run: the engine of a configuration, or this machine.
func (f runFlags) engine(ctx context.Context, log *slog.Logger) (engine, error) {
	switch {
	case f.where.config != "":
		return f.where.open(ctx, log)
	case f.where.kubeconfig != "":
		return engine{}, wrongUse(errors.New("--kubeconfig says where the cluster is, not what to run there; add --config with an nbpress.yaml"))
	}
	here, err := local.New(ctx, local.Options{Python: choosePython(f.python), Init: selfInit(), Log: log})
	return engine{Executor: here, close: func() {}}, err
}

// chosen returns the assets to run.
func (f runFlags) chosen(bundle *report.Bundle) ([]report.Asset, error) {
	for _, l := range f.languages {
		if l == report.PseudoLanguage {
			continue
		}
		if !slices.Contains(bundle.Config.Languages, l) {
			return nil, fmt.Errorf("%s has no language %q; it has %s", bundle.Name, l, strings.Join(bundle.Config.Languages, ", "))
		}
	}
	var all, chosen []report.Asset
	var names []string
	for _, a := range bundle.Config.Assets {
		names = append(names, a.ID)
		if slices.Contains(f.assets, a.ID) {
			chosen = append(chosen, a)
		}
		if a.Enabled {
			all = append(all, a)
		}
	}
	for _, id := range f.assets {
		if !slices.Contains(names, id) {
			return nil, fmt.Errorf("%s has no asset %q; it has %s", bundle.Name, id, strings.Join(names, ", "))
		}
	}
	if len(f.assets) == 0 {
		chosen = all
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%s has no enabled asset; name one with --asset", bundle.Name)
	}
	return chosen, nil
}

func (f runFlags) languagesOf(bundle *report.Bundle, asset report.Asset) []string {
	if len(f.languages) > 0 {
		var once []string
		for _, l := range f.languages {
			if !slices.Contains(once, l) {
				once = append(once, l)
			}
		}
		return once
	}
	return bundle.AssetLanguages(asset)
}

// checkDays says what is wrong with the window asked for.
func (f runFlags) checkDays() error {
	if f.window != "" {
		_, err := schedule.ParseWindow(f.window, "", "")
		return err
	}
	if f.from == "" {
		return nil
	}
	for _, day := range []string{f.from, f.to} {
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			return fmt.Errorf("%q is no day; write it as 2026-11-23", day)
		}
	}
	if f.to < f.from {
		return fmt.Errorf("--to %s lies before --from %s", f.to, f.from)
	}
	return nil
}

// days returns the window asked for, else the one of a slot that is due now.
func (f runFlags) days(bundle *report.Bundle, now time.Time) (runner.Window, error) {
	if err := f.checkDays(); err != nil {
		return runner.Window{}, err
	}
	if f.from != "" {
		return runner.Window{FromDay: runner.Day(f.from), ToDay: runner.Day(f.to)}, nil
	}
	w := bundle.Config.Window
	if f.window != "" {
		w = report.Window{Name: f.window}
	}
	parsed, err := schedule.ParseWindow(w.Name, w.From, w.To)
	if err != nil {
		return runner.Window{}, err
	}
	s, err := schedule.Parse(bundle.Config.Schedule.Cron, bundle.Config.Schedule.Timezone)
	if err != nil {
		return runner.Window{}, err
	}
	days := parsed.Days(now.In(s.Location()))
	return runner.Window{FromDay: runner.Day(days.From), ToDay: runner.Day(days.To)}, nil
}

// choosePython returns the interpreter asked for, else the one that a person at this
// prompt means.
func choosePython(flag string) string {
	if flag != "" {
		return flag
	}
	if venv := os.Getenv("VIRTUAL_ENV"); venv != "" {
		return filepath.Join(venv, "bin", "python")
	}
	if venv := filepath.Join(".venv", "bin", "python"); exists(venv) {
		return venv
	}
	return "python3"
}

// selfInit is how this binary becomes PID 1 of a sandbox.
func selfInit() []string { return []string{"/proc/self/exe", initCommand} }

// selfPongo2 renders with pongo2 in a process of this binary.
func selfPongo2() runner.Renderer {
	executable := "/proc/self/exe" // also when the file was replaced meanwhile
	if runtime.GOOS != "linux" {
		if path, err := os.Executable(); err == nil {
			executable = path
		}
	}
	return local.Program{Command: []string{executable, pongo2Command}}
}

// consoleLog logs warnings to a person's terminal, without times.
func consoleLog(std streams) *slog.Logger {
	return slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		},
	}))
}
