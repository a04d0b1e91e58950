package jupyter

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestArrivals_CountsWhatNeverCame(t *testing.T) {
	tests := []struct {
		name string
		ids  string // in the order of their arrival; shell's and control's with a mark
		want int64
	}{
		{"nothing yet", "", 0},
		{"one after the other", "s_1_4 s_1_5 s_1_6", 0},
		{"a gap", "s_1_4 s_1_6 s_1_9", 3},
		{"a gap that is filled late", "s_1_4 s_1_9 s_1_6 s_1_5 s_1_8 s_1_7", 0},
		{"a gap that is filled in its middle", "s_1_0 s_1_10 s_1_5", 8},
		{"one twice", "s_1_0 s_1_2 s_1_2 s_1_0", 1},
		{"replies on other channels", "s_1_0 shell:s_1_2 s_1_3 control:s_1_1", 0},
		{"before the first output", "shell:s_1_0 shell:s_1_4 s_1_7 shell:s_1_2", 0},
		{"a reply before the output that it overtook", "shell:s_1_2 s_1_1 s_1_3", 0},
		{"replies around the first output", "shell:s_1_9 shell:s_1_1 s_1_5 s_1_6", 2},
		{"no output at all", "shell:s_1_0 shell:s_1_9", 0},
		{"the first output is not the lowest", "s_1_5 s_1_4 s_1_6", 0},
		{"a forked child", "s_1_4 s_2_4 s_1_5 s_2_6", 1},
		{"ids of another make", "5d1e-77 a_b_1 a_b_9 _1_1 _1_7 s_1_ s__1 1_2 x", 0},
		{"numbers of another make", "s_1_0 s_1_007 s_1_-9 s_1_+9 s_1_9.0 s_1_9223372036854775808 s_1_1000000000000000", 0},
		{"the highest number", "s_1_0 s_1_999999999999999", 999999999999998},
		{"an id without end", "s_1_0 " + strings.Repeat("s", idLimit) + "_1_0", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var a arrivals
			for _, id := range strings.Fields(test.ids) {
				channel, id, marked := strings.Cut(id, ":")
				if !marked {
					channel, id = channelIOPub, channel
				}
				a.count(channel, id)
			}
			if got := a.lost(); got != test.want {
				t.Errorf("got %d lost, want %d", got, test.want)
			}
		})
	}
}

// FuzzCounter compares a counter with a set of all the numbers that came. Every byte
// is a number, above 127 that of a reply.
func FuzzCounter(f *testing.F) {
	f.Add([]byte{200, 129, 3, 7, 5, 4, 6, 1, 250, 140})
	f.Fuzz(func(t *testing.T, numbers []byte) {
		var a arrivals
		came := make(map[int]bool)
		first, highest := -1, -1
		for _, b := range numbers {
			n, channel := int(b&127), channelIOPub
			if b > 127 {
				channel = channelShell
			} else if first < 0 {
				first = n
			}
			came[n], highest = true, max(highest, n)
			a.count(channel, fmt.Sprint("s_1_", n))
			want := int64(0)
			for n := first; first >= 0 && n < highest; n++ {
				if !came[n] {
					want++
				}
			}
			if got := a.lost(); got != want {
				t.Fatalf("after %d: got %d lost, want %d", n, got, want)
			}
		}
	})
}

func TestArrivals_StaysSmallWhateverComes(t *testing.T) {
	size := func(a *arrivals) (gaps int) {
		for _, c := range a.counters {
			gaps += cap(c.gaps)
		}
		return gaps
	}
	random := rand.New(rand.NewPCG(1, 2))
	for name, id := range map[string]func(i int64) string{
		"a gap every time":      func(i int64) string { return fmt.Sprint("s_1_", 2*i) },
		"downwards":             func(i int64) string { return fmt.Sprint("s_1_", 2_000_000-2*i) },
		"at random":             func(int64) string { return fmt.Sprint("s_1_", random.Int64N(1e15)) },
		"a prefix every time":   func(i int64) string { return fmt.Sprintf("s_%d_%d", i/2, i%2*999999999999999) },
		"prefixes with gaps":    func(i int64) string { return fmt.Sprintf("s_%d_%d", i%prefixLimit, 2*i) },
		"the widest gaps there": func(i int64) string { return fmt.Sprintf("s_1_%d", 999999999999999-i) },
	} {
		for _, channel := range []string{channelIOPub, channelShell} {
			var a arrivals
			for i := range int64(50_000) {
				a.count(channel, id(i))
			}
			if lost := a.lost(); lost < 0 {
				t.Errorf("%s: %d lost", name, lost)
			}
			if len(a.counters) > prefixLimit || size(&a) > prefixLimit*2*gapLimit {
				t.Errorf("%s: %d prefixes with %d gaps are kept", name, len(a.counters), size(&a))
			}
		}
	}
}

func TestArrivals_KnowsTheLatestSignatures(t *testing.T) {
	signatures := make([][]byte, 3*signatureLimit)
	var a arrivals
	for i := range signatures {
		signatures[i] = sign([]byte("k"), [][]byte{fmt.Append(nil, i)})
		if a.repeats(signatures[i]) {
			t.Fatalf("signature %d is new", i)
		}
		for _, back := range []int{0, signatureLimit / 2, signatureLimit - 1} {
			if i >= back && !a.repeats(signatures[i-back]) {
				t.Fatalf("after %d: signature %d was forgotten", i, i-back)
			}
		}
	}
	if kept := len(a.newer) + len(a.older); kept > 2*signatureLimit {
		t.Errorf("%d signatures are kept", kept)
	}
	if a.repeats(nil) || a.repeats([]byte{}) || a.repeats([]byte("short")) {
		t.Error("messages without a signature repeat each other")
	}
}

func BenchmarkArrivals(b *testing.B) {
	var a arrivals
	signatures := make([][]byte, 1<<20)
	ids := make([]string, len(signatures))
	for i := range signatures {
		signatures[i] = sign([]byte("k"), [][]byte{fmt.Append(nil, i)})
		ids[i] = fmt.Sprintf("8a6e0804-2bd0672b689badb832042fd2_4242_%d", i)
	}
	for i := 0; b.Loop(); i++ {
		if !a.repeats(signatures[i%len(ids)]) {
			a.count(channelIOPub, ids[i%len(ids)])
		}
	}
}
