package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// ours selects what nbpress makes in a cluster.
const ours = "app.kubernetes.io/managed-by=nbpress"

// podCount counts the pods of runs, in all namespaces, while it watches.
type podCount struct {
	end     context.CancelFunc
	watched sync.WaitGroup

	mu    sync.Mutex // guards what follows
	there map[string]bool
	made  map[string]bool
	peak  int
}

// watchPods begins to count.
func watchPods(ctx context.Context) (*podCount, error) {
	ctx, end := context.WithCancel(ctx)
	p := &podCount{end: end, there: map[string]bool{}, made: map[string]bool{}}
	lines, write := io.Pipe()
	cmd := exec.CommandContext(ctx, "kubectl", "get", "pods", "--all-namespaces", "--selector", ours+",app.kubernetes.io/component=sandbox",
		"--watch", "--output-watch-events", "--output", `jsonpath={.type}{" "}{.object.metadata.uid}{"\n"}`)
	cmd.Stdout = write
	if err := cmd.Start(); err != nil {
		end()
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	p.watched.Go(func() {
		_ = cmd.Wait() // it is killed at the end
		_ = write.Close()
	})
	p.watched.Go(func() {
		for scanner := bufio.NewScanner(lines); scanner.Scan(); {
			event, uid, _ := strings.Cut(scanner.Text(), " ")
			p.note(event, uid)
		}
	})
	return p, nil
}

func (p *podCount) note(event, uid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if event == "DELETED" {
		delete(p.there, uid)
		return
	}
	p.there[uid], p.made[uid] = true, true
	p.peak = max(p.peak, len(p.there))
}

// stop ends the counting.
func (p *podCount) stop() (made, peak int) {
	p.end()
	p.watched.Wait()
	return len(p.made), p.peak
}

// leftPatience is how long what ends may take to be gone.
const leftPatience = time.Minute

// leftBehind lists what of nbpress is in the cluster when all scenarios have ended, and was
// not there before.
func leftBehind(ctx context.Context, before []string) ([]string, error) {
	deadline := time.Now().Add(leftPatience)
	for {
		left, err := objects(ctx)
		if err != nil {
			return nil, err
		}
		left = slices.DeleteFunc(left, func(name string) bool { return slices.Contains(before, name) })
		if len(left) == 0 || time.Now().After(deadline) {
			return left, nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// objects lists the pods and Secrets of runs in the cluster.
func objects(ctx context.Context) ([]string, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, "kubectl", "get", "pods,secrets", "--all-namespaces", "--selector", ours,
		"--output", `jsonpath={range .items[*]}{.kind}{" "}{.metadata.namespace}{"/"}{.metadata.name}{"\n"}{end}`)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("look what is there: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\n' }), nil
}
