package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nbpress/runner"
	"nbpress/runner/report"
)

// smokeReport is the bundle that check-image runs: it tells what is there.
//
//go:embed smoke
var smokeReport embed.FS

func checkImageCommand(std streams) *cobra.Command {
	where := personal{}
	cmd := &cobra.Command{
		Use:   "check-image IMAGE",
		Short: "Run a small report in a container image, and say what the image lacks",
		Long: `Run a small report in a pod with IMAGE, as a report would run whose config.json names it,
and say whether it fits and which packages it has.

An image needs a python3 on its PATH with ipykernel, and what its reports import. All
else comes from nbpress: the launcher, the connection, files in and out, and the pages,
which are rendered in the stock image. The pod runs with the rights that all have: any
user but root, a read-only root file system, no capabilities.

Exit status: 0 it fits, 1 it does not, 2 wrong use, 3 the cluster could not try it.`,
		Example: `  nbpress check-image registry.example.com/team/kernel:2
  nbpress check-image registry.example.com/team/kernel:2 --config nbpress.yaml --kubeconfig ~/.kube/config`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return checkImage(cmd.Context(), std, args[0], where) },
	}
	where.flags(cmd, "nbpress.yaml")
	return cmd
}

// imageName is what config.json takes as an image.
var imageName = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._/:@-]{0,254}$`)

// checkImage runs the small report in an image.
func checkImage(ctx context.Context, std streams, image string, where personal) error {
	if !imageName.MatchString(image) {
		return wrongUse(fmt.Errorf("%q is no image; write one such as registry.example.com/kernel:1.4", image))
	}
	c, err := readConfig(where.config)
	if err != nil {
		return err
	}
	k := c.Executor.Kubernetes
	if k == nil {
		return wrongUse(fmt.Errorf("%s runs reports on its own machine, which knows no images; name a configuration with executor.kubernetes", where.config))
	}
	bundle, err := smokeBundle()
	if err != nil {
		return err
	}
	bundle.Config.Image = image
	exec, err := where.open(ctx, consoleLog(std))
	if err != nil {
		return err
	}
	defer exec.close()
	now, show := time.Now(), newProgress(std.err, image)
	outcome, err := runner.Execute(ctx, exec, runner.Job{
		Run: runner.NewRunID(bundle.Name, image, now), Generation: 1, Attempt: 1, Report: bundle.Name, Bundle: bundle,
		Asset: bundle.Config.Assets[0], Languages: bundle.Config.Languages, ScheduledAt: now,
		Window: runner.Window{FromDay: runner.Day(now.Format(time.DateOnly)), ToDay: runner.Day(now.Format(time.DateOnly))}, Progress: show.step,
	})
	if err != nil {
		show.done("not finished")
		return err
	}
	show.done("looked at")
	found, err := judgeImage(outcome)
	if err != nil {
		return err
	}
	if len(found.lacks) == 0 && k.checkImage(image) != nil {
		found.notes = append(found.notes, "reports may not name it yet: executor.kubernetes.images has no pattern for it")
	}
	return found.tell(std, image)
}

// smokeBundle loads the small report.
func smokeBundle() (*report.Bundle, error) {
	bundle, problems := report.Load(smokeReport, "smoke", report.Options{})
	if len(problems) > 0 {
		return nil, errors.New(problems[0].String())
	}
	return bundle, nil
}

// imageCheck is what is known of an image.
type imageCheck struct {
	lacks []string // why it does not fit; none: it does
	notes []string
}

// judgeImage says what the small report's end tells of its image. The error is of what
// tells nothing of it.
func judgeImage(outcome runner.Outcome) (imageCheck, error) {
	if f := outcome.Failure; f != nil {
		return imageFailure(*f, string(outcome.Kept["kernel.log"]))
	}
	var found struct {
		Python   string            `json:"python"`
		Packages map[string]string `json:"packages"`
		Problems []string          `json:"problems"`
	}
	for _, output := range outcome.Outputs {
		if err := json.Unmarshal(output, &found); err != nil {
			return imageCheck{}, fmt.Errorf("the small report's output.json: %w", err)
		}
	}
	var there, missing []string
	for _, name := range slices.Sorted(maps.Keys(found.Packages)) {
		if version := found.Packages[name]; version != "" {
			there = append(there, name+" "+version)
		} else {
			missing = append(missing, name)
		}
	}
	check := imageCheck{lacks: found.Problems, notes: []string{"Python " + found.Python + ", " + strings.Join(there, ", ")}}
	if len(missing) > 0 {
		check.notes = append(check.notes, "the stock image has, and this one has not: "+strings.Join(missing, ", "))
	}
	return check, nil
}

// imageFailure tells an image that does not fit from a cluster that could not try it.
func imageFailure(f runner.Failure, log string) (imageCheck, error) {
	said := f.Message + "\n" + log
	lacks := func(why string) (imageCheck, error) { return imageCheck{lacks: []string{why}}, nil }
	switch {
	case strings.Contains(said, "No module named") && strings.Contains(said, "ipykernel"):
		return lacks("its python3 has no ipykernel: add `python3 -m pip install ipykernel` to its Dockerfile")
	case f.Code == runner.ImagePull:
		return lacks("the cluster cannot pull it: " + f.Message)
	case strings.Contains(said, "python3") && (strings.Contains(said, "not found") || strings.Contains(said, "no such file")):
		return lacks("it has no python3 on its PATH")
	case f.Code == runner.OOMKilled:
		return lacks("the kernel needs more memory than executor.kubernetes.resources gives: " + f.Message)
	case f.Code.Fault() == runner.FaultReport:
		return lacks(f.Error() + tail(log))
	}
	return imageCheck{}, fmt.Errorf("the image was not tried: %w", &f)
}

// tail is the end of a kernel's log, as it stands below a sentence.
func tail(log string) string {
	const most = 10
	lines := strings.Split(strings.TrimSpace(log), "\n")
	if lines[0] == "" {
		return ""
	}
	return "\n    " + strings.Join(lines[max(0, len(lines)-most):], "\n    ")
}

// tell says it to a person, and by the exit status.
func (c imageCheck) tell(std streams, image string) error {
	out := plainText{std.out}
	verdict := "fits"
	if len(c.lacks) > 0 {
		verdict = "does not fit"
	}
	fmt.Fprintf(out, "%s: %s\n", image, verdict)
	for _, line := range append(slices.Clone(c.lacks), c.notes...) {
		fmt.Fprintf(out, "  %s\n", line)
	}
	if len(c.lacks) > 0 {
		return &exitError{status: exitReportFailed}
	}
	return nil
}
