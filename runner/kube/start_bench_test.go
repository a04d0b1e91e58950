package kube

import (
	"context"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"nbpress/runner/internal/jupyter"
)

// BenchmarkE2E_Start measures what a run waits for before its first cell has run: the median
// of each stage, in milliseconds. The image is on the node.
func BenchmarkE2E_Start(b *testing.B) {
	c := onCluster(b)
	o := c.options()
	o.MilliCPU, o.Memory = 1000, 512<<20 // a kernel's start is half a second of a processor
	e := c.open(o)
	stages := []string{"pod-ms", "files-ms", "kernel-ms", "cell-ms", "all-ms"}
	took := make([][]time.Duration, len(stages))
	for b.Loop() {
		began := time.Now()
		last := began
		stage := func(i int) {
			took[i] = append(took[i], time.Since(last))
			last = time.Now()
		}
		ctx, cancel := context.WithTimeout(b.Context(), patience)
		box, err := e.Start(ctx, c.spec())
		must(b, err)
		stage(0)
		must(b, box.Put(ctx, fstest.MapFS{"report.ipynb": {Data: make([]byte, 64<<10)}}))
		stage(1)
		conn, _, err := box.Kernel(ctx)
		must(b, err)
		client, err := jupyter.Connect(ctx, conn, jupyter.Options{})
		must(b, err)
		stage(2)
		_, err = client.Execute(ctx, "1", func(jupyter.Message) {})
		must(b, err)
		stage(3)
		last = began
		stage(4)
		b.StopTimer()
		_ = client.Close() // the pod goes with it
		c.close(box)
		cancel()
		b.StartTimer()
	}
	for i, name := range stages {
		slices.Sort(took[i])
		b.ReportMetric(float64(took[i][len(took[i])/2].Microseconds())/1000, name)
	}
}
