package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"
)

// duel is two programs that do the same work.
type duel struct {
	name       string
	ours, peer program
	target     float64 // the ratio of ours to peer that is promised
}

// program is a command line, and how to tell that it did its work.
type program struct {
	argv  []string
	check func() error
}

// fight runs both once for the caches' sake, then in turns, so that what else goes on
// on the machine meets both alike. It returns the medians of rounds.
func (d duel) fight(ctx context.Context, rounds int) (outcome, error) {
	var ours, peer []time.Duration
	for round := range rounds + 1 {
		took, err := d.ours.time(ctx)
		if err != nil {
			return outcome{}, err
		}
		tookPeer, err := d.peer.time(ctx)
		if err != nil {
			return outcome{}, err
		}
		if round > 0 {
			ours, peer = append(ours, took), append(peer, tookPeer)
		}
	}
	return outcome{median(ours), median(peer)}, nil
}

// time runs the program from its start to its end.
func (p program) time(ctx context.Context) (time.Duration, error) {
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
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
