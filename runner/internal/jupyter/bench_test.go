package jupyter

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkConnect measures from the kernel process's start to its being ready, with
// our launcher and with ipykernel's own.
func BenchmarkConnect(b *testing.B) {
	for name, launcher := range map[string][]string{"launcher": nil, "ipykernel_launcher": {"-m", "ipykernel_launcher"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c := connectTo(b, startProcess(b, ipc(b), launcher...), Options{})
				b.StopTimer()
				if err := c.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkExecute measures one cell, from the request to its reply and its end. The
// names are what the comparison with other clients is made by.
func BenchmarkExecute(b *testing.B) {
	for _, bench := range []struct{ name, code string }{
		{"pass", "pass"},
		{"print_5MB", "print('" + strings.Repeat("x", 100) + "' * 50_000)"},
		{"displays_1000", "for i in range(1000): display({'text/plain': str(i)}, raw=True)"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			c := connectTo(b, startProcess(b, ipc(b)), Options{})
			var took []time.Duration
			for b.Loop() {
				started := time.Now()
				if _, err := c.Execute(b.Context(), bench.code, func(Message) {}); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(started))
			}
			reportMedian(b, took)
		})
	}
}

// BenchmarkDeath measures from a kernel's being killed to its being noticed, by the end
// of its connections.
func BenchmarkDeath(b *testing.B) {
	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		p := startProcess(b, ipc(b))
		c := connectTo(b, p, Options{})
		var killed time.Time
		b.StartTimer()
		_, err := c.Execute(b.Context(), "print('x', flush=True)\nwhile True: pass", func(m Message) {
			if m.Type == "stream" && killed.IsZero() {
				killed = time.Now()
				if err := p.cmd.Process.Kill(); err != nil {
					b.Error(err)
				}
			}
		})
		took = append(took, time.Since(killed))
		b.StopTimer()
		var died *KernelDied
		if !errors.As(err, &died) {
			b.Fatalf("got %v, want KernelDied", err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	reportMedian(b, took)
}

// reportMedian makes the median the time of an operation, in place of the mean: one
// pause of the machine says nothing of the client.
func reportMedian(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "ns/op")
}
