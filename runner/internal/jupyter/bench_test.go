package jupyter

import (
	"strings"
	"testing"
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

func BenchmarkExecute(b *testing.B) {
	for name, code := range map[string]string{
		"pass":      "pass",
		"print 5MB": "print('" + strings.Repeat("x", 100) + "' * 50_000)",
	} {
		b.Run(name, func(b *testing.B) {
			c := connectTo(b, startProcess(b, ipc(b)), Options{})
			for b.Loop() {
				if _, err := c.Execute(b.Context(), code, func(Message) {}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
