package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// program is a command line, and how to tell that it did its work.
type program struct {
	argv  []string
	env   []string // beside ours
	check func() error
}

// contest runs each program once for the caches' sake, then all in turns, so that what
// else goes on on the machine meets them alike. It returns their medians.
func contest(ctx context.Context, programs map[string]program, rounds int) (map[string]time.Duration, error) {
	all := make(map[string][]time.Duration)
	names := slices.Sorted(maps.Keys(programs))
	for round := range rounds + 1 {
		for _, name := range names {
			took, err := programs[name].time(ctx)
			if err != nil {
				return nil, err
			}
			if round > 0 {
				all[name] = append(all[name], took)
			}
		}
	}
	medians := make(map[string]time.Duration)
	for name, times := range all {
		medians[name] = median(times)
	}
	return medians, nil
}

// What is executed in executions.
const (
	ours      = "nbpress execute"
	oursStock = "nbpress execute --kernel python3" // the kernel started as Jupyter starts it
	nbclient  = "jupyter execute"
	papermill = "papermill"
)

// executions are the programs that execute a notebook of cells that do nothing, so that
// only their own work and the kernel's start count. Peers is their virtual environment.
func executions(root, dir, peers string, cells int) (map[string]program, error) {
	in, out := filepath.Join(dir, "pass.ipynb"), filepath.Join(dir, "out.ipynb")
	if err := os.WriteFile(in, passNotebook(cells), 0o644); err != nil {
		return nil, err
	}
	bin := filepath.Join(peers, "bin")
	nbpress := filepath.Join(root, "build", "nbpress")
	programs := make(map[string]program)
	for name, argv := range map[string][]string{
		ours:      {nbpress, "execute", in, out, "--python", filepath.Join(bin, "python")},
		oursStock: {nbpress, "execute", in, out, "--kernel", "python3"},
		nbclient:  {filepath.Join(bin, "jupyter"), "execute", in, "--output", "out.ipynb"},
		papermill: {filepath.Join(bin, "papermill"), "--no-progress-bar", in, out},
	} {
		programs[name] = program{
			argv: argv, env: []string{"VIRTUAL_ENV=" + peers, "PATH=" + bin + ":" + os.Getenv("PATH")},
			check: func() error { return checkExecuted(out, cells) },
		}
	}
	return programs, nil
}

// time runs the program from its start to its end.
func (p program) time(ctx context.Context) (time.Duration, error) {
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = &output, &output
	started := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", cmd, err, output.Bytes())
	}
	took := time.Since(started)
	if err := p.check(); err != nil {
		return 0, fmt.Errorf("%s: %w", cmd, err)
	}
	return took, nil
}

// median returns the middle value, 0 of none.
func median(values []time.Duration) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// passNotebook returns a notebook of n cells that do nothing.
func passNotebook(n int) []byte {
	cells := make([]map[string]any, n)
	for i := range cells {
		cells[i] = map[string]any{
			"cell_type": "code", "id": fmt.Sprintf("cell-%d", i), "metadata": map[string]any{},
			"execution_count": nil, "outputs": []any{}, "source": "pass",
		}
	}
	data, err := json.Marshal(map[string]any{
		"cells": cells, "nbformat": 4, "nbformat_minor": 5,
		"metadata": map[string]any{"kernelspec": map[string]string{
			"name": "python3", "display_name": "Python 3", "language": "python",
		}},
	})
	if err != nil {
		panic(err) // strings, numbers and nil always encode
	}
	return data
}

// checkExecuted says whether every one of a notebook's cells was executed, and removes
// the file, so that the next round cannot pass with it.
func checkExecuted(file string, cells int) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var nb struct {
		Cells []struct {
			ExecutionCount int `json:"execution_count"`
		}
	}
	if err := json.Unmarshal(data, &nb); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if len(nb.Cells) != cells || nb.Cells[cells-1].ExecutionCount != cells {
		return fmt.Errorf("%s: not all of %d cells were executed", file, cells)
	}
	return os.Remove(file)
}
