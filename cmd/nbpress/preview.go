package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"nbpress/internal/preview"
	"nbpress/runner"
	"nbpress/runner/local"
	"nbpress/runner/report"
)

func previewCommand(std streams) *cobra.Command {
	var flags runFlags
	port := 8866
	cmd := &cobra.Command{
		Use:   "preview BUNDLE",
		Short: "Show a report in the browser while you write it",
		Long: `Run a report's notebook and show its page in the browser, as it would be published. The
page follows what you save: a template or a catalog within a moment, a changed notebook
after it has run again. Choose asset and language in the bar above the page; a mistake is
shown in its place, with file and line, and goes when it is mended.

An output.json that you write into the report's folder, from Jupyter say, is shown in the
place of what the notebook wrote here. Only this machine can see the preview.`,
		Example: `  nbpress preview reports-example/weekly-energy
  nbpress preview weekly-energy --window last_month --port 0`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPreview(cmd.Context(), std, args[0], flags, port)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.from, "from", "", "first day of the window, YYYY-MM-DD")
	f.StringVar(&flags.to, "to", "", "last day of the window, YYYY-MM-DD")
	f.StringVar(&flags.window, "window", "", "a window by name, such as last_week")
	f.StringVar(&flags.python, "python", "", pythonUsage)
	f.StringArrayVar(&flags.secrets, "secret", nil, secretUsage)
	f.StringVar(&flags.token, "token", "", tokenUsage)
	f.IntVar(&port, "port", port, "port of the preview on this machine; 0 takes any")
	cmd.MarkFlagsMutuallyExclusive("window", "from")
	cmd.MarkFlagsRequiredTogether("from", "to")
	return cmd
}

// runPreview serves until ctx ends.
func runPreview(ctx context.Context, std streams, dir string, flags runFlags, port int) error {
	t, name, err := treeOf(dir)
	if err != nil {
		return err
	}
	if !exists(filepath.Join(dir, report.ConfigFile)) {
		return wrongUse(fmt.Errorf("%s is no bundle: it has no %s", dir, report.ConfigFile))
	}
	if err := flags.checkDays(); err != nil {
		return wrongUse(err)
	}
	mint, err := flagTokens(flags.token)
	if err != nil {
		return wrongUse(err)
	}
	secrets, err := flagVault(flags.secrets)
	if err != nil {
		return wrongUse(err)
	}
	exec, err := local.New(ctx, local.Options{Python: choosePython(flags.python), Init: selfInit(), Log: consoleLog(std)})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return wrongUse(fmt.Errorf("%w; choose another port with --port", err))
	}
	jinja2 := runner.NewWarmRenderer(runner.SandboxRenderer{Executor: exec})
	defer jinja2.Close()
	p := newPreviewed(dir, flags, exec, jinja2)
	p.secrets, p.mint = secrets, mint
	defer p.close()
	web := preview.New(p)
	p.changed, p.status = web.Changed, web.Status
	p.reload()
	fmt.Fprintf(std.out, "Preview of %s: http://%s/ (Ctrl-C ends it)\n", dir, listener.Addr())

	server := &http.Server{Handler: web.Handler(listener.Addr()), ReadHeaderTimeout: 10 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return preview.Watch(ctx, watched(t, name), p.reload) })
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return server.Close() // streams of events never end by themselves
	})
	return group.Wait()
}

// watched lists what a report is made of: its folder, and what its repository shares. What
// is a link is watched where it leads to.
func watched(t tree, name string) []string {
	paths := sourcesOf(t, name)
	for i, path := range paths {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			paths[i] = real
		}
	}
	return paths
}

func sourcesOf(t tree, name string) []string {
	paths := []string{filepath.Join(t.root, filepath.FromSlash(name))}
	if !exists(filepath.Join(t.root, report.DefaultsFile)) {
		return paths
	}
	paths = append(paths, filepath.Join(t.root, report.DefaultsFile))
	if defaults, problems := report.LoadDefaults(t.fsys); len(problems) == 0 {
		for _, folder := range defaults.Include {
			paths = append(paths, filepath.Join(t.root, filepath.FromSlash(folder)))
		}
	}
	return paths
}
