package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nbpress/runner"
)

const runUsage = "RUN is an id or its beginning, report/asset/latest, or report/asset/SLOT as in 2026-11-23T0600+0100."

func showCommand(std streams) *cobra.Command {
	var where whereFlags
	var output string
	var links bool
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use:   "show RUN",
		Short: "Show a run's manifest, or links to what it left",
		Long:  "Show a run's manifest, or links to its pages and to all else that it left. " + runUsage,
		Example: `  nbpress show weekly-energy/plant-1/latest
  nbpress show weekly-energy/plant-1/latest --links --for 72h --config nbpress.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return wrongUse(err)
			}
			if err := checkLifetime(lifetime); err != nil {
				return err
			}
			return where.find(cmd.Context(), args[0], func(v *ledgerView, d document) error {
				if links {
					return printLinks(cmd.Context(), std, v, d, lifetime, output)
				}
				if output == "json" {
					return writeJSON(std.out, d.run)
				}
				_, err := fmt.Fprintf(std.plain().out, "# %s:%s\n%s", d.branch, d.path, d.data)
				return err
			})
		},
	}
	where.addRun(cmd)
	cmd.Flags().StringVar(&output, "output", "text", outputUsage)
	cmd.Flags().BoolVar(&links, "links", false, "addresses at which anybody can read what the run left")
	cmd.Flags().DurationVar(&lifetime, "for", 24*time.Hour, "how long links into a bucket work, 168h at most")
	return cmd
}

func logsCommand(std streams) *cobra.Command {
	var where whereFlags
	cmd := &cobra.Command{
		Use:     "logs RUN",
		Short:   "Print what a run's kernel wrote, and its traceback",
		Long:    "Print what a run's kernel wrote, which is in the store, and its traceback. " + runUsage,
		Example: "  nbpress logs data-quality/meter-9/latest",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return where.find(cmd.Context(), args[0], func(v *ledgerView, d document) error {
				return printLogs(cmd.Context(), std.plain(), v, d.run)
			})
		},
	}
	where.addRun(cmd)
	return cmd
}

func printLogs(ctx context.Context, std streams, v *ledgerView, m runner.Manifest) error {
	for _, a := range m.Artifacts {
		if !strings.HasSuffix(a.Name, ".log") {
			continue
		}
		data, err := v.object(ctx, a.Key)
		if err != nil {
			return err
		}
		fmt.Fprintf(std.out, "# %s\n%s\n", a.Name, data)
	}
	if m.Error == nil {
		fmt.Fprintf(std.err, "the run completed\n")
		return nil
	}
	fmt.Fprintf(std.out, "%s: %s\n", m.Error.Code, m.Error.Message)
	if m.Error.Traceback != "" {
		fmt.Fprintf(std.out, "\n%s\n", m.Error.Traceback)
	}
	fmt.Fprintf(std.out, "\n%s\n", m.Error.Advice)
	return nil
}

func fetchCommand(std streams) *cobra.Command {
	var where whereFlags
	var out string
	cmd := &cobra.Command{
		Use:   "fetch RUN",
		Short: "Copy a run's pages, executed notebook and output.json out of the store",
		Long:  "Copy all that a run left out of the store, which the agent's configuration names. " + runUsage,
		Example: `  nbpress fetch weekly-energy/plant-1/latest --config nbpress.yaml --out /tmp/look
  jupyter lab /tmp/look/executed.ipynb`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return where.find(cmd.Context(), args[0], func(v *ledgerView, d document) error {
				folder := cmp.Or(out, string(d.run.ID))
				if out == "" && !isName(folder) {
					return wrongUse(fmt.Errorf("the id in %s:%s, %q, cannot name a folder; name one with --out", d.branch, d.path, folder))
				}
				return fetchRun(cmd.Context(), std.plain(), v, d, folder)
			})
		},
	}
	where.addRun(cmd)
	cmd.Flags().StringVar(&out, "out", "", "folder to copy to (default: the run's id)")
	return cmd
}

// isName reports whether a text out of the ledger, where others may write, names a file
// or folder right here.
func isName(text string) bool {
	return filepath.IsLocal(text) && filepath.Base(text) == text && text != "." && !strings.HasPrefix(text, "-")
}

// fetchRun copies everything that a run left into a folder.
func fetchRun(ctx context.Context, std streams, v *ledgerView, d document, out string) error {
	if len(d.run.Artifacts) == 0 {
		fmt.Fprintln(std.err, "the run left nothing but its manifest")
	}
	write := func(name string, data []byte) error {
		path := filepath.Join(out, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		fmt.Fprintln(std.out, path)
		return os.WriteFile(path, data, 0o644)
	}
	errs := []error{write("manifest.yaml", d.data)}
	for _, a := range d.run.Artifacts {
		name := filepath.Join(a.Language, a.Name)
		if !filepath.IsLocal(name) { // the ledger is a branch that others may write to
			errs = append(errs, fmt.Errorf("artifact %q has no usable name", name))
			continue
		}
		data, err := v.object(ctx, a.Key)
		if err == nil {
			err = write(name, data)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// find opens the ledger and finds a run in it.
func (w whereFlags) find(ctx context.Context, ref string, use func(*ledgerView, document) error) error {
	return w.look(ctx, func(v *ledgerView) error {
		d, err := v.find(ctx, ref)
		if err == nil && w.generation != 0 {
			d, err = v.generation(ctx, d, w.generation)
		}
		if err != nil {
			return err
		}
		return use(v, d)
	})
}

// object reads from the store.
func (v *ledgerView) object(ctx context.Context, key string) ([]byte, error) {
	if v.store == nil {
		return nil, errNoStore()
	}
	return v.store.Get(ctx, key)
}

func errNoStore() error {
	return wrongUse(errors.New("the store is not known here: name the agent's configuration with --config"))
}
