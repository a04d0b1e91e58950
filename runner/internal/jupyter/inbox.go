package jupyter

import (
	"errors"
	"strings"
	"sync"
)

// errFlood means that the peer sends what cannot be dropped, faster than it is
// consumed.
var errFlood = errors.New("the kernel floods its channel")

// event is what a reader tells the consumer: a message, or the end of a channel.
type event struct {
	channel string
	msg     Message
	err     error  // the channel's end; msg is empty
	size    int64  // what it counts for against the inbox's limit
	next    *event // that came after it
}

const (
	eventSize   = 224     // of an event, in memory
	smallFrame  = 4 << 10 // a frame of a state or of a reply's header, which is let in when output is not
	extraLimit  = 2 << 20 // bytes over the limit for states, which are not dropped
	replyLimit  = 8 << 20 // bytes over the limit for replies
	beyondLimit = replyLimit + extraLimit
)

// sized is about what n bytes take: Go rounds them up to a size class.
func sized(n int) int64 {
	if n > 32<<10 {
		return int64(n) + 8<<10
	}
	return int64(n + n/8 + 16)
}

// newEvent makes an event of a message that followed last on its channel. Strings
// that repeat are kept once.
func newEvent(channel string, m Message, last *Message) event {
	size := eventSize + sized(len(m.ID)) + sized(len(m.Date)) + payload(m)
	for _, s := range [][2]*string{{&m.Type, &last.Type}, {&m.Session, &last.Session}, {&m.ParentID, &last.ParentID}} {
		if *s[0] == *s[1] {
			*s[0] = *s[1]
			continue
		}
		*s[1] = *s[0]
		size += sized(len(*s[0]))
	}
	return event{channel: channel, msg: m, size: size}
}

// payload is what a message's content takes.
func payload(m Message) int64 {
	if m.Content == nil && m.Metadata == nil && m.Buffers == nil {
		return 0
	}
	n := sized(len(m.Content)) + sized(len(m.Metadata))
	for _, b := range m.Buffers {
		n += sized(len(b)) + 24
	}
	return n
}

// inbox is a queue between the readers, which never wait, and one consumer. It is
// bounded in bytes, those of a message under way and of the one that the consumer
// has in hand among them: over the limit an event's payload is dropped and counted.
type inbox struct {
	limit int64
	wake  chan struct{} // holds a token when there may be something to pop

	mu          sync.Mutex // guards what follows
	first, last *event
	count       int // of events that wait
	bytes       int64
	inHand      int64 // bytes of the event popped last
}

func newInbox(limit int64) *inbox {
	return &inbox{limit: limit, wake: make(chan struct{}, 1)}
}

// reserve sets room for n bytes of a message under way aside, unless that is over
// most.
func (q *inbox) reserve(n, most int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+n > most {
		return false
	}
	q.bytes += n
	return true
}

// release gives back what was reserved for a message that is not pushed.
func (q *inbox) release(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= n
}

// share makes a channel's messages count from the moment they are announced: large
// frames up to the limit, and small ones or replies beyond it.
func (q *inbox) share(ch *channel) {
	ch.conn.guard.room = func(n int64) bool {
		switch {
		case n <= smallFrame:
			return q.reserve(n, q.limit+beyondLimit)
		case ch.name == channelIOPub:
			return q.reserve(n, q.limit)
		}
		return q.reserve(n, q.limit+replyLimit)
	}
}

// push adds an event, for which reserved bytes were set aside, and never blocks. It
// reports false when not even the events without payload fit any more: the peer
// floods, and the caller gives it up.
func (q *inbox) push(e event, reserved int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= reserved
	if q.bytes+e.size > q.limit && droppable(e) && q.drop(&e) {
		return true // counted on the event before it
	}
	if e.err == nil && q.bytes+e.size > q.limit+beyondLimit {
		return false
	}
	q.bytes += e.size
	q.count++
	if q.last == nil {
		q.first = &e
	} else {
		q.last.next = &e
	}
	q.last = &e
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// droppable reports whether an event is output. Replies and states decide what
// becomes of the run, so they are kept.
func droppable(e event) bool {
	if e.err != nil {
		return false
	}
	switch e.msg.Type {
	case "stream", "display_data", "execute_result", "update_display_data", "comm_open", "comm_msg", "error":
		return true
	}
	return e.channel == channelIOPub && e.size > smallFrame/2
}

// drop takes the payload off e. It reports true where the newest event already
// stands for lost output of the same request, so that e is not needed.
func (q *inbox) drop(e *event) bool {
	lost := e.msg.Dropped + int64(len(e.msg.Content)+len(e.msg.Metadata))
	for _, b := range e.msg.Buffers {
		lost += int64(len(b))
	}
	if q.last != nil && q.last.msg.Dropped > 0 && q.last.channel == e.channel && q.last.msg.ParentID == e.msg.ParentID {
		q.last.msg.Dropped += lost
		if strings.HasPrefix(q.last.msg.Type, "comm_") {
			q.last.msg.Type = e.msg.Type // lost output is worse than a widget's lost state
		}
		return true
	}
	e.size -= payload(e.msg)
	e.msg.Content, e.msg.Metadata, e.msg.Buffers = nil, nil, nil
	e.msg.Dropped = max(lost, 1)
	return false
}

// waiting returns how many events wait.
func (q *inbox) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count
}

// pop takes the oldest event. It counts until the next pop.
func (q *inbox) pop() (event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= q.inHand
	q.inHand = 0
	if q.first == nil {
		return event{}, false
	}
	e := *q.first
	if q.first = e.next; q.first == nil {
		q.last = nil
	}
	e.next = nil
	q.count--
	q.inHand = e.size
	return e, true
}
