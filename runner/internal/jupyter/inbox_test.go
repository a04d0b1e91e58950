package jupyter

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
)

// kernelMessage decodes the n-th message of a kernel, with frames as long and as
// many as ipykernel's, that nothing else holds.
func kernelMessage(t *testing.T, n int, kind, parent, content string, buffers ...string) Message {
	t.Helper()
	const session = "5d8b7c1e-8a4d20e0c1f94e6f9d5b3a70"
	parts := append([]string{
		fmt.Sprintf(`{"msg_id":"%s_4711_%d","msg_type":"%s","username":"u","session":"%s","date":"2026-11-23T06:00:00.%06dZ","version":"5.3"}`, session, n, kind, session, n%1e6),
		fmt.Sprintf(`{"msg_id":"%s","msg_type":"execute_request","session":"s","date":"2026-11-23T06:00:00.5Z","version":"5.3"}`, parent), `{}`, content,
	}, buffers...)
	m, err := decode([]byte("k"), signedFrames("k", "kernel.5d8b7c1e-8a4d20e0c1f94e6f9d5b3a70.display_data", parts...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestInbox_CountsMessagesAtWhatTheyCost(t *testing.T) {
	display := func(n int) string {
		return fmt.Sprintf(`{"data": {"text/plain": "%d"}, "metadata": {}, "transient": {}}`, n)
	}
	tests := []struct {
		name    string
		count   int
		message func(n int) Message
	}{
		{"small displays", 20_000, func(n int) Message { return kernelMessage(t, n, "display_data", "request", display(n)) }},
		{"empty ones", 20_000, func(n int) Message { return kernelMessage(t, n, "x", "", "{}") }},
		{"each of another type and request", 20_000, func(n int) Message {
			return kernelMessage(t, n, fmt.Sprint("type", n), fmt.Sprint("request", n), "{}")
		}},
		{"a kilobyte each", 20_000, func(n int) Message {
			return kernelMessage(t, n, "stream", "request", `"`+strings.Repeat("x", 1030)+`"`)
		}},
		{"megabytes", 20, func(n int) Message {
			return kernelMessage(t, n, "stream", "request", `"`+strings.Repeat("x", 1<<20)+`"`)
		}},
		{"a thousand empty buffers each", 1_000, func(n int) Message {
			return kernelMessage(t, n, "comm_msg", "request", "{}", make([]string, 1000)...)
		}},
		{"a thousand small buffers each", 200, func(n int) Message {
			return kernelMessage(t, n, "comm_msg", "request", "{}", strings.Split(strings.Repeat("x ", 1000), " ")...)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := newInbox(math.MaxInt64 / 2)
			var last Message
			before := liveHeap()
			for n := range test.count {
				q.push(newEvent(channelIOPub, test.message(n), &last), 0)
			}
			cost := liveHeap() - before
			t.Logf("%d bytes each, counted as %d", cost/int64(test.count), q.bytes/int64(test.count))
			if q.bytes < cost*99/100 || q.bytes > 2*cost {
				t.Errorf("%d bytes are counted as %d", cost, q.bytes)
			}
			for ok := true; ok; {
				_, ok = q.pop()
			}
			if q.bytes != 0 {
				t.Errorf("the empty inbox counts %d bytes", q.bytes)
			}
		})
	}
}
