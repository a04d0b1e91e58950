package jupyter

import "sync"

// event is what a reader tells the consumer: a message, or the end of a channel.
type event struct {
	channel string
	msg     Message
	err     error // the channel's end; msg is empty
}

// messageOverhead is about what a waiting message costs beside its content.
const messageOverhead = 512

// size is what the event counts for against the inbox's limit.
func (e event) size() int64 {
	n := int64(messageOverhead + len(e.msg.Content) + len(e.msg.Metadata))
	for _, b := range e.msg.Buffers {
		n += int64(len(b))
	}
	return n
}

// inbox is a queue between the readers, which never wait, and one consumer. It is
// bounded in bytes: over the limit an event's payload is dropped and counted.
type inbox struct {
	limit int64
	wake  chan struct{} // holds a token when there may be something to pop

	mu     sync.Mutex // guards what follows
	events []event
	bytes  int64
}

func newInbox(limit int64) *inbox {
	return &inbox{limit: limit, wake: make(chan struct{}, 1)}
}

// push adds an event and never blocks. It reports false when not even the events
// without payload fit any more: the peer floods, and the caller gives it up.
func (q *inbox) push(e event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+e.size() > q.limit && droppable(e) {
		e = q.dropped(e)
		if e.msg.Dropped == 0 {
			return true // counted on the event before it
		}
	}
	if e.err == nil && q.bytes > 2*q.limit {
		return false
	}
	q.bytes += e.size()
	q.events = append(q.events, e)
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
	return e.channel == channelIOPub && e.size() > 4*messageOverhead
}

// dropped returns e without its payload, or an event with nothing dropped where the
// newest event already stands for lost output of the same request.
func (q *inbox) dropped(e event) event {
	lost := e.msg.Dropped + e.size() - messageOverhead
	if n := len(q.events); n > 0 {
		last := &q.events[n-1].msg
		if last.Dropped > 0 && last.ParentID == e.msg.ParentID {
			last.Dropped += lost
			return event{}
		}
	}
	e.msg.Content, e.msg.Metadata, e.msg.Buffers = nil, nil, nil
	e.msg.Dropped = max(lost, 1)
	return e
}

// pop takes the oldest event.
func (q *inbox) pop() (event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 {
		q.events = nil // lets go of a burst's memory
		return event{}, false
	}
	e := q.events[0]
	q.events[0] = event{}
	q.events = q.events[1:]
	q.bytes -= e.size()
	return e, true
}
