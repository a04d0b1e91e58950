package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// event is one line of go test -json.
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64
	Output  string
}

// results say of each scenario how it ended: pass, fail or skip.
type results map[string]string

func (r results) count(ended string) (n int) {
	for _, e := range r {
		if e == ended {
			n++
		}
	}
	return n
}

func (r results) failed() int  { return r.count("fail") }
func (r results) skipped() int { return r.count("skip") }

// test runs the scenarios, tells of each as it ends, and of a failed one all it said.
func test(ctx context.Context, out io.Writer, how manner) (results, error) {
	cmd := exec.CommandContext(ctx, "go", "test", fmt.Sprintf("-race=%v", how.race), "-json", "-count=1", "-p", "1",
		"-parallel", fmt.Sprint(how.atOnce), "-timeout", timeout.String(), "-run", "^TestE2E_.*"+how.only, "./runner/kube", "./cmd/nbpress")
	cmd.Stderr = os.Stderr
	// Let go test end its tests, which clear up after themselves.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("go test: %w", err)
	}
	found, said := results{}, map[string]string{}
	for decoder := json.NewDecoder(stdout); ; {
		var e event
		if err := decoder.Decode(&e); err != nil {
			if !errors.Is(err, io.EOF) {
				fmt.Fprintln(out, "go test's answer cannot be read:", err)
				found["go test"] = "fail"
			}
			break
		}
		found.take(out, e, said)
	}
	var exit *exec.ExitError
	err = cmd.Wait()
	if err != nil && !errors.As(err, &exit) {
		return nil, fmt.Errorf("go test: %w", err)
	}
	if err != nil && found.failed() == 0 { // as when a scenario's process was ended in the middle
		found["go test"] = "fail"
		fmt.Fprintf(out, "FAIL go test: %v, and no scenario failed\n", err)
		for name, text := range said {
			fmt.Fprintf(out, "%s said:\n%s", name, text)
		}
	}
	return found, ctx.Err()
}

// take takes one event in. What a scenario's parts say counts as its own.
func (r results) take(out io.Writer, e event, said map[string]string) {
	name, part, _ := strings.Cut(e.Test, "/")
	switch e.Action {
	case "output", "build-output":
		said[e.Package+name] += e.Output
	case "fail", "pass", "skip":
		if part != "" {
			return
		}
		if name == "" { // the package: a failure of its own is one outside of its tests
			if e.Action == "fail" && !strings.Contains(said[e.Package], "FAIL\t") || e.Action == "fail" && len(r) == 0 {
				r[e.Package] = "fail"
				fmt.Fprintf(out, "FAIL %s\n%s", e.Package, said[e.Package])
			}
			return
		}
		r[name] = e.Action
		fmt.Fprintf(out, "%-5s %6.1f s  %s\n", e.Action, e.Elapsed, strings.TrimPrefix(name, "TestE2E_"))
		if e.Action == "fail" {
			fmt.Fprint(out, said[e.Package+name])
		} else {
			tell(out, said[e.Package+name])
		}
		delete(said, e.Package+name)
	case "build-fail":
		r[e.Package] = "fail"
		fmt.Fprint(out, said[e.Package])
	}
}

// tell prints what a scenario that passed logged for people, "file.go:12: ...", without
// what its agents and parts did.
func tell(out io.Writer, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		if place, message, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && strings.Contains(place, "_test.go:") {
			fmt.Fprintf(out, "                %s\n", message)
		}
	}
}
