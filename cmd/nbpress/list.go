package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nbpress/runner"
	"nbpress/runner/request"
)

func listCommand(std streams) *cobra.Command {
	var where whereFlags
	var flags listFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List runs, the newest first",
		Long: `List runs, the newest first. Of a run that was made again it is the newest generation
that is listed, and that --status asks for.`,
		Example: `  nbpress list --status error
  nbpress list --report weekly-energy --since 2026-11-01 --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.check(); err != nil {
				return wrongUse(err)
			}
			return where.look(cmd.Context(), func(v *ledgerView) error {
				return flags.list(cmd.Context(), std, v)
			})
		},
	}
	where.add(cmd)
	f := cmd.Flags()
	f.StringVar(&flags.report, "report", "", "runs of this report only")
	f.StringVar(&flags.asset, "asset", "", "runs of this asset only")
	f.StringVar(&flags.status, "status", "", "completed, error or canceled")
	dayVar(cmd, &flags.since, "since", "slots of this `day` and later: YYYY-MM-DD, yesterday, monday, ...")
	f.IntVar(&flags.limit, "limit", 50, "how many at most; 0: all")
	f.StringVar(&flags.output, "output", "text", outputUsage)
	return cmd
}

const outputUsage = "text or json"

type listFlags struct {
	report, asset, status, output string
	since                         request.Day
	limit                         int
}

func (f listFlags) check() error {
	if err := checkOutput(f.output); err != nil {
		return err
	}
	known := []string{"", string(runner.StatusCompleted), string(runner.StatusError), string(runner.StatusCanceled)}
	if !slices.Contains(known, f.status) {
		return fmt.Errorf("--status is completed, error or canceled, not %q", f.status)
	}
	return nil
}

func checkOutput(output string) error {
	if output != "text" && output != "json" {
		return fmt.Errorf("--output is text or json, not %q", output)
	}
	return nil
}

// sieve keeps what match would refuse from being decoded.
func (f listFlags) sieve() sieve {
	only := sieve{newest: true, brief: f.output != "json"}
	if f.since != "" {
		only.first = "runs/" + string(f.since)[:len("2026-11")]
	}
	only.path = func(p string) bool {
		asset, _ := assetOf(p)
		return (f.report == "" || reportOf(p) == f.report) &&
			(f.asset == "" || asset == f.asset) &&
			slotOf(p) >= string(f.since)
	}
	if f.status != "" {
		line := []byte("\nstatus: " + f.status + "\n")
		only.data = func(data []byte) bool { return bytes.Contains(data, line) }
	}
	return only
}

func (f listFlags) match(m runner.Manifest) bool {
	return (f.report == "" || m.Report == f.report) &&
		(f.asset == "" || m.Asset == f.asset) &&
		(f.status == "" || string(m.Status) == f.status) &&
		m.ScheduledAt.Format(time.DateOnly) >= string(f.since)
}

func (f listFlags) list(ctx context.Context, std streams, v *ledgerView) error {
	runs := []runner.Manifest{}
	err := v.runs(ctx, f.sieve(), func(d document) bool {
		if f.match(d.run) {
			runs = append(runs, d.run)
		}
		return f.limit == 0 || len(runs) < f.limit
	})
	if err != nil {
		return err
	}
	if f.output == "json" {
		return writeJSON(std.out, runs)
	}
	std = std.plain()
	if len(runs) == 0 {
		fmt.Fprintln(std.err, "no runs")
		return nil
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tREPORT\tASSET\tSLOT\tSTATUS\tWHAT")
	for _, m := range runs {
		what := pages(m)
		switch {
		case m.Error != nil:
			what = fmt.Sprintf("%s: %s", m.Error.Code, m.Error.Message)
		case m.CanceledBy != nil:
			what = fmt.Sprintf("by %s: %s", m.CanceledBy.RequestedBy, m.CanceledBy.Reason)
		}
		if m.Generation > 1 {
			what += fmt.Sprintf(" (generation %d)", m.Generation)
		}
		cells := []string{string(m.ID), m.Report, m.Asset, m.ScheduledAt.Format("2006-01-02 15:04 -0700"), string(m.Status), what}
		for i := range cells {
			cells[i] = oneLine(cells[i])
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// pages says how many pages a run has.
func pages(m runner.Manifest) string {
	n := 0
	for _, a := range m.Artifacts {
		if a.Name == "index.html" {
			n++
		}
	}
	if n == 1 {
		return "1 page"
	}
	return fmt.Sprintf("%d pages", n)
}
