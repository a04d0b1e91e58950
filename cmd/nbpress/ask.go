package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nbpress/gitsync"
	"nbpress/runner"
	"nbpress/runner/request"
)

const askedUsage = `

It writes a request, a small YAML file, to the branch ` + requestsBranch + ` in your name. The agent
answers in the ledger, with the runs' ids or with what is wrong. The same file may come
by hand, or by a pull request to that branch. docs/reading.md has the format.`

// askFlags are what all commands that ask have in common.
type askFlags struct {
	where  whereFlags
	reason string
	wait   time.Duration
}

func (f *askFlags) add(cmd *cobra.Command) {
	f.where.add(cmd)
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for those who read the history")
	cmd.Flags().DurationVar(&f.wait, "wait", 0, "how long to wait for the agent's answer, and print it")
	require(cmd, "reason")
}

func requestCommand(std streams) *cobra.Command {
	var f askFlags
	var window request.Window
	r := &request.Request{Window: &window}
	cmd := &cobra.Command{
		Use:   "request REPORT",
		Short: "Ask for a report on demand, over days of your choice",
		Long: `Ask for runs of a report now, over days of your choice. They are runs of their own: the
pages that the schedule made, and the links to the latest ones, stay as they are.` + askedUsage,
		Example: `  nbpress request weekly-energy --asset plant-1 --from 2026-11-01 --to 2026-11-15 \
    --reason "customer asked" --wait 2m`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Report = args[0]
			return f.ask(cmd.Context(), std, "request", r)
		},
	}
	f.add(cmd)
	dayVar(cmd, &window.FromDay, "from", "first `day`: YYYY-MM-DD, today, yesterday, or the last monday, tuesday, ...")
	dayVar(cmd, &window.ToDay, "to", "last `day`, included")
	cmd.Flags().StringSliceVar(&r.Assets, "asset", nil, "an asset; may be repeated (default: all)")
	cmd.Flags().StringSliceVar(&r.Languages, "language", nil, "a language; may be repeated (default: each asset's)")
	require(cmd, "from", "to")
	return cmd
}

func backfillCommand(std streams) *cobra.Command {
	var f askFlags
	var slots request.Slots
	r := &request.Request{Slots: &slots}
	cmd := &cobra.Command{
		Use:   "backfill REPORT",
		Short: "Ask for slots of the schedule that passed without a run",
		Long: `Ask for the slots of a report's schedule on some days, as far as they have passed: those
from before it was merged, those that were missed, those of an asset that is new. What
is completed is left out, unless --force is given; what failed runs again.` + askedUsage,
		Example: `  nbpress backfill weekly-energy --slots-from 2026-09-01 --slots-to 2026-11-01 --reason "new customer"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Report = args[0]
			return f.ask(cmd.Context(), std, "backfill", r)
		},
	}
	f.add(cmd)
	dayVar(cmd, &slots.From, "slots-from", "first `day` of the slots, in the report's zone")
	dayVar(cmd, &slots.To, "slots-to", "last `day` of the slots, included")
	cmd.Flags().StringSliceVar(&r.Assets, "asset", nil, "an asset; may be repeated (default: all that are enabled)")
	cmd.Flags().BoolVar(&r.Force, "force", false, "also what is completed")
	require(cmd, "slots-from", "slots-to")
	return cmd
}

func rerunCommand(std streams) *cobra.Command {
	var f askFlags
	var runs request.Runs
	var same bool
	r := &request.Request{Runs: &runs}
	cmd := &cobra.Command{
		Use:   "rerun RUN... | --report REPORT --since DAY",
		Short: "Ask for runs again, over the days that they had",
		Long: `Ask for runs again: a new generation of each, over the days that it had, with the report
as it is now or, with --same-commit, as it was. What is completed is left out, unless
--force is given. A rerun that fails leaves the pages that are there. ` + runUsage + askedUsage,
		Example: `  nbpress rerun weekly-energy/plant-1/latest --reason "meter was mended"
  nbpress rerun --report weekly-energy --status error --since monday --reason "API is back"`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if same {
				r.Commit = request.CommitSame
			}
			if len(args) == 0 {
				if r.Report == "" || runs.Since == "" {
					return wrongUse(errors.New("which runs? name them, or give --report and --since; see `nbpress rerun --help`"))
				}
				return f.ask(cmd.Context(), std, "rerun", r)
			}
			if r.Report != "" || runs.Since != "" || runs.Status != "" || len(r.Assets) > 0 {
				return wrongUse(errors.New("RUN and --report, --asset, --status or --since do not go together"))
			}
			return f.askOfEach(cmd.Context(), std, "rerun", args, func(report string, ids []string) *request.Request {
				one := *r
				one.Report, one.Runs = report, &request.Runs{IDs: ids}
				return &one
			})
		},
	}
	f.add(cmd)
	dayVar(cmd, &runs.Since, "since", "runs of slots on this `day` and later: YYYY-MM-DD, yesterday, monday, ...")
	cmd.Flags().StringVar(&r.Report, "report", "", "runs of this report")
	cmd.Flags().StringVar(&runs.Status, "status", "", "runs that ended so: error, canceled or completed")
	cmd.Flags().StringSliceVar(&r.Assets, "asset", nil, "runs of this asset; may be repeated")
	cmd.Flags().BoolVar(&same, "same-commit", false, "with the report as it was, not as it is now")
	cmd.Flags().BoolVar(&r.Force, "force", false, "also what is completed")
	return cmd
}

func cancelCommand(std streams) *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "cancel RUN...",
		Short: "Ask that runs end now",
		Long: `Ask that runs which wait or are under way end now, with the status canceled. A RUN is an
id, or report/asset/SLOT with the name of the slot's folder in the ledger.` + askedUsage,
		Example: `  nbpress cancel weekly-energy/plant-1/2026-11-23T0600+0100 --reason "wrong meter"`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := &request.Request{}
			for _, ref := range args {
				id, err := idOfOpen(ref)
				if err != nil {
					return wrongUse(err)
				}
				r.Cancel = append(r.Cancel, id)
			}
			return f.ask(cmd.Context(), std, "cancel", r)
		},
	}
	f.add(cmd)
	return cmd
}

// idOfOpen returns the id of a run that need not be in the ledger yet.
func idOfOpen(ref string) (string, error) {
	dir, slot := path.Split(ref)
	if dir == "" {
		return ref, nil
	}
	report, asset := path.Split(path.Clean(dir))
	id, ok := idOf(path.Clean(report), asset, slot)
	if !ok {
		return "", fmt.Errorf("RUN %q does not end with the name of a slot, such as 2026-11-23T0600+0100", ref)
	}
	return string(id), nil
}

func require(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		_ = cmd.MarkFlagRequired(name) // it fails for a flag that is not there
	}
}

// dayVar adds a flag that is a day, or a word for one.
func dayVar(cmd *cobra.Command, day *request.Day, name, usage string) {
	cmd.Flags().Func(name, usage, func(text string) (err error) {
		*day, err = dayOf(text, time.Now())
		return err
	})
}

// dayOf reads a day: a date, today, yesterday, or a weekday, which is the last one,
// today included.
func dayOf(text string, now time.Time) (request.Day, error) {
	if _, err := time.Parse(time.DateOnly, text); err == nil {
		return request.Day(text), nil
	}
	word := strings.ToLower(text)
	switch word {
	case "today":
		return request.Day(now.Format(time.DateOnly)), nil
	case "yesterday":
		return request.Day(now.AddDate(0, 0, -1).Format(time.DateOnly)), nil
	}
	for back := range 7 {
		day := now.AddDate(0, 0, -back)
		if name := strings.ToLower(day.Weekday().String()); word == name || word == name[:3] {
			return request.Day(day.Format(time.DateOnly)), nil
		}
	}
	return "", errors.New("no day; write it as 2026-11-23, today, yesterday or monday")
}

// askOfEach asks about runs that the ledger has, in a request for each report.
func (f *askFlags) askOfEach(ctx context.Context, std streams, verb string, refs []string, make func(report string, ids []string) *request.Request) error {
	ids := map[string][]string{}
	var order []string
	err := f.where.look(ctx, func(v *ledgerView) error {
		for _, ref := range refs {
			d, err := v.find(ctx, ref)
			if err != nil {
				return err
			}
			if len(ids[d.run.Report]) == 0 {
				order = append(order, d.run.Report)
			}
			if id := string(d.run.ID); !slices.Contains(ids[d.run.Report], id) {
				ids[d.run.Report] = append(ids[d.run.Report], id)
			}
		}
		return nil
	})
	for _, report := range order {
		if err == nil {
			err = f.ask(ctx, std, verb, make(report, ids[report]))
		}
	}
	return err
}

// ask writes a request to the branch of requests, and waits for its answer if that is
// wanted.
func (f *askFlags) ask(ctx context.Context, std streams, verb string, r *request.Request) error {
	author, err := f.person()
	if err != nil {
		return wrongUse(err)
	}
	r.Reason, r.RequestedBy = f.reason, fmt.Sprintf("%s <%s>", author.Name, author.Email)
	data, err := r.Encode()
	if err != nil {
		return err
	}
	name := path.Join(r.Report, fmt.Sprintf("%s-%s-%s.yaml", time.Now().UTC().Format("2006-01-02T1504Z"), verb, strings.ToLower(rand.Text()[:4])))
	if _, problems := request.Parse(name, data); len(problems) > 0 {
		var errs []error
		for _, p := range problems {
			errs = append(errs, errors.New(p.What+"; "+p.Do))
		}
		return wrongUse(errors.Join(errs...))
	}
	return f.where.look(ctx, func(v *ledgerView) error {
		_, err := v.ledger.Commit(ctx, gitsync.Change{
			Branch: requestsBranch, Author: author, Files: map[string][]byte{name: data},
			Subject: fmt.Sprintf("%s %s: %s", verb, cmp.Or(r.Report, "runs"), oneLine(f.reason)),
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(std.plain().out, "asked: %s on %s\n", name, requestsBranch)
		if f.wait == 0 {
			return nil
		}
		return f.await(ctx, std.plain(), v, name)
	})
}

// person returns in whose name to ask: as Git would commit.
func (f *askFlags) person() (gitsync.Author, error) {
	set, err := gitsync.Person(f.where.dir)
	if err != nil {
		return set, err
	}
	author := gitsync.Author{
		Name:  cmp.Or(os.Getenv("GIT_AUTHOR_NAME"), set.Name),
		Email: cmp.Or(os.Getenv("GIT_AUTHOR_EMAIL"), set.Email),
	}
	if author.Name == "" || author.Email == "" {
		return author, errors.New("who asks? Git has no user.name and user.email; set them with `git config --global user.name NAME` and the same for user.email")
	}
	return author, nil
}

// answerPause is between two looks for an answer: Git has nothing to watch.
const answerPause = 2 * time.Second

// await waits for the answer to a request and prints it.
func (f *askFlags) await(ctx context.Context, std streams, v *ledgerView, name string) error {
	limited, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	for {
		answer, err := v.answer(limited, name)
		if err == nil {
			return printAnswer(std, answer)
		}
		if !errors.Is(err, fs.ErrNotExist) && limited.Err() == nil {
			return err
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("no answer in %s; does the agent run? It answers later all the same, in the ledger", f.wait)
		case <-time.After(answerPause):
		}
	}
}

// answer looks for the answer to a request in the two newest months.
func (v *ledgerView) answer(ctx context.Context, name string) (answer runner.Answer, err error) {
	months, err := v.ledger.Branches(ctx, "runs/2")
	if err != nil {
		return answer, err
	}
	wanted := path.Base(answerPath(runner.Answer{Asked: runner.Asked{Request: name}}))
	for _, branch := range slices.Backward(months[max(0, len(months)-2):]) {
		tree, err := v.ledger.Tree(ctx, branch)
		if err != nil {
			return answer, err
		}
		found := fs.ErrNotExist
		err = fs.WalkDir(tree, ".", func(p string, entry fs.DirEntry, err error) error {
			switch _, slot := slotTime(entry.Name()); {
			case err != nil:
				return err
			case slot && entry.IsDir(): // many, and answers stand beside them
				return fs.SkipDir
			case entry.Name() != wanted:
				return nil
			}
			data, err := fs.ReadFile(tree, p)
			if err == nil {
				answer, err = runner.Decode[runner.Answer](data, runner.KindAnswer)
			}
			if found = err; err == nil {
				return fs.SkipAll
			}
			return err
		})
		if err != nil || found == nil {
			return answer, err
		}
	}
	return answer, fs.ErrNotExist
}

// printAnswer prints what became of a request.
func printAnswer(std streams, r runner.Answer) error {
	for _, run := range r.Runs {
		fmt.Fprintf(std.out, "accepted: %s  %s  %s, generation %d\n", run.ID, run.Asset, run.ScheduledAt.Format("2006-01-02 15:04 -0700"), run.Generation)
	}
	for _, run := range r.Canceled {
		fmt.Fprintf(std.out, "to be canceled: %s\n", run.ID)
	}
	for _, run := range r.LeftOut {
		fmt.Fprintf(std.out, "left out: %s  %s: %s\n", run.ID, run.Asset, run.Why)
	}
	if r.Error == nil {
		return nil
	}
	return wrongUse(fmt.Errorf("refused: %s", strings.Join(r.Error.Problems, "\n")))
}
