package jupyter

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// arrivals keeps account of the messages of a kernel, across its channels: which
// never came, and which came twice. All of it is bounded, whatever the kernel sends.
type arrivals struct {
	mu       sync.Mutex // guards what follows
	counters map[string]*counter
	clock    int64 // ticks with every numbered message
	settled  int64 // lost under prefixes that are forgotten

	newer, older map[[8]byte]struct{} // the first bytes of signatures
	repeated     int64
}

const (
	prefixLimit    = 128     // prefixes that are counted at a time: a kernel and its forked children
	gapLimit       = 512     // gaps of a prefix that may still be filled
	idLimit        = 200     // bytes of an id; jupyter_client's have about 50
	digitLimit     = 15      // digits of a number in an id, which keeps all sums far from overflow
	signatureLimit = 1 << 15 // signatures of a generation
)

// Lost returns how many messages of the kernel never came, as of now. Kernels that
// are made with jupyter_client number what they send, on all channels together: the
// ids are <session>_<process>_<number>. For others it is always 0.
//
// Counting begins with the first message on the output channel: what was sent before
// the subscription is nobody's loss. While the kernel is busy a message may be counted
// that is still on its way. And code in the kernel that takes a number and then sends
// nothing, or sends it to another client, makes it look lost: a display hook that drops
// messages, a figure that displays itself as the value of a cell (ipykernel numbers
// both; our launcher does not). So this is a reason for a warning, not for a failure.
func (c *Client) Lost() int64 { return c.arrivals.lost() }

// Repeated returns how many messages came with a signature that had been seen before,
// and were dropped. A kernel signs every message anew: somebody records and replays.
func (c *Client) Repeated() int64 {
	c.arrivals.mu.Lock()
	defer c.arrivals.mu.Unlock()
	return c.arrivals.repeated
}

// count notes that a message came on a channel.
func (a *arrivals) count(channel, id string) {
	prefix, n, ok := numbered(id)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock++
	c := a.counters[prefix]
	if c == nil {
		c = a.begin(prefix, n)
	}
	c.used = a.clock
	c.add(n)
	if channel == channelIOPub && !c.started {
		c.start(n)
	}
}

// begin makes a counter, in the place of the one that was not used for longest where
// there are too many.
func (a *arrivals) begin(prefix string, n int64) *counter {
	if a.counters == nil {
		a.counters = make(map[string]*counter)
	}
	if len(a.counters) >= prefixLimit {
		oldest := ""
		for p, c := range a.counters {
			if oldest == "" || c.used < a.counters[oldest].used {
				oldest = p
			}
		}
		a.settled = min(a.settled+a.counters[oldest].lost(), 1<<62)
		delete(a.counters, oldest)
	}
	c := &counter{first: n, next: n}
	a.counters[prefix] = c
	return c
}

func (a *arrivals) lost() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	lost := a.settled
	for _, c := range a.counters {
		lost += c.lost()
	}
	return lost
}

// numbered takes an id apart that jupyter_client's Session made.
func numbered(id string) (prefix string, n int64, ok bool) {
	if len(id) > idLimit {
		return "", 0, false
	}
	end := strings.LastIndexByte(id, '_')
	process := strings.LastIndexByte(id[:max(end, 0)], '_')
	if process < 1 || !decimal(id[process+1:end]) || !decimal(id[end+1:]) {
		return "", 0, false
	}
	n, err := strconv.ParseInt(id[end+1:], 10, 64)
	return id[:end], n, err == nil
}

func decimal(s string) bool {
	return s != "" && len(s) <= digitLimit && strings.Trim(s, "0123456789") == "" && (s == "0" || s[0] != '0')
}

// counter says which of the numbers of one prefix came: those of [first, next)
// except the gaps. Replies and output overtake each other, so gaps get filled.
type counter struct {
	first, next int64
	gaps        []gap // ascending
	missing     int64 // numbers in gaps
	settled     int64 // numbers in gaps that were given up
	started     bool  // by a message of the output channel; before it, nothing is lost
	used        int64 // the time of the last message
}

// gap is the numbers of [from, to), which did not come.
type gap struct{ from, to int64 }

func (c *counter) lost() int64 {
	if !c.started {
		return 0
	}
	return c.missing + c.settled
}

func (c *counter) add(n int64) {
	switch {
	case n >= c.next:
		c.open(len(c.gaps), gap{c.next, n})
		c.next = n + 1
	case n >= c.first:
		c.fill(n)
	case !c.started:
		c.open(0, gap{n + 1, c.first})
		c.first = n
	}
	if len(c.gaps) > gapLimit { // the lowest is the least likely to be filled yet
		size := c.gaps[0].to - c.gaps[0].from
		c.missing -= size
		c.settled += size
		c.gaps = slices.Delete(c.gaps, 0, 1)
	}
}

func (c *counter) open(at int, g gap) {
	if g.from < g.to {
		c.gaps = slices.Insert(c.gaps, at, g)
		c.missing += g.to - g.from
	}
}

// fill takes n out of the gap that it is in, if any.
func (c *counter) fill(n int64) {
	i, _ := slices.BinarySearchFunc(c.gaps, n, func(g gap, n int64) int {
		if g.to <= n {
			return -1
		}
		return 1
	})
	if i == len(c.gaps) || n < c.gaps[i].from {
		return
	}
	g := c.gaps[i]
	c.gaps = slices.Delete(c.gaps, i, i+1)
	c.missing -= g.to - g.from
	c.open(i, gap{n + 1, g.to})
	c.open(i, gap{g.from, n})
}

// start forgets what is below n, the number of the first message of the output
// channel: it was sent when nobody had subscribed yet.
func (c *counter) start(n int64) {
	c.started = true
	c.first, c.settled, c.missing = n, 0, 0
	c.gaps = slices.DeleteFunc(c.gaps, func(g gap) bool { return g.to <= n })
	for _, g := range c.gaps {
		c.missing += g.to - g.from
	}
}

// repeats notes a verified signature, and reports whether it was seen before: among
// the last signatureLimit, at least.
func (a *arrivals) repeats(signature []byte) bool {
	var start [8]byte
	if n, err := hex.Decode(start[:], signature[:min(len(signature), 2*len(start))]); err != nil || n < len(start) {
		return false // no key, no signatures
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, newer := a.newer[start]
	_, older := a.older[start]
	if newer || older {
		a.repeated++
		return true
	}
	if a.newer == nil || len(a.newer) >= signatureLimit {
		a.newer, a.older = make(map[[8]byte]struct{}), a.newer
	}
	a.newer[start] = struct{}{}
	return false
}
