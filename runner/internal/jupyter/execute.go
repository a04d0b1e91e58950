package jupyter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// Reply is how a kernel answered an execute request.
type Reply struct {
	Status    string // ok, error or aborted: only the first is success
	Count     int    // the execution count, In [n]; 0 where the kernel gave none
	EName     string // error: the exception's class
	EValue    string // error: its text
	Traceback []string
	AskExit   bool      // the code asked the kernel to exit; it will, soon
	At        time.Time // when the kernel sent it; zero where it did not say
}

// request is an execute request under way.
type request struct {
	id      string
	replied bool
	idle    bool
	reply   Reply

	since  time.Time // when the first of reply and idle came, or the last probe was sent; zero: the code runs
	heard  time.Time // when something last arrived on the output channel
	probes []string  // requests sent to see whether the channels still work
	lost   bool      // a probe became idle, the request did not
}

func (r *request) done() bool { return r.replied && r.idle }

// half notes that the first of reply and idle may have come: from now on the other one
// is owed.
func (r *request) half() {
	if r.since.IsZero() {
		r.since = time.Now()
	}
}

// patience is how much of limit is left for what is owed.
func (r *request) patience(limit time.Duration) time.Duration {
	if r.since.IsZero() {
		return limit // nothing is: the code may be silent for as long as it likes
	}
	return limit - time.Since(r.since)
}

// executeRequest is the content of an execute_request. One request is under way at
// a time, so stop_on_error could only abort requests of our own: it stays off.
type executeRequest struct {
	Code            string   `json:"code"`
	Silent          bool     `json:"silent"`
	StoreHistory    bool     `json:"store_history"`
	UserExpressions struct{} `json:"user_expressions"`
	AllowStdin      bool     `json:"allow_stdin"`
	StopOnError     bool     `json:"stop_on_error"`
}

// Execute runs code in the kernel and returns when the kernel has replied and
// become idle again, in either order. Every message of the output channel that
// arrives meanwhile is given to on, in order, on the caller's goroutine: the
// request's own (Own), and late ones of earlier requests.
//
// Errors: *KernelDied, after what the kernel had sent was given to on;
// *ProtocolError; ErrIdleLost; ErrBusy; ctx's error at once when ctx ends, and then
// the request is still under way: Interrupt it and Wait, or Close. An exception in
// the code is no error but a Reply.
func (c *Client) Execute(ctx context.Context, code string, on func(Message)) (Reply, error) {
	return c.execute(ctx, executeRequest{Code: code, StoreHistory: true}, on)
}

// ExecuteSilently does as Execute, and leaves no trace: nothing is shown on the output
// channel, no execution is counted, and history does not have the code.
func (c *Client) ExecuteSilently(ctx context.Context, code string) (Reply, error) {
	return c.execute(ctx, executeRequest{Code: code, Silent: true}, nil)
}

func (c *Client) execute(ctx context.Context, content executeRequest, on func(Message)) (Reply, error) {
	if !c.consumer.TryLock() {
		return Reply{}, ErrBusy
	}
	defer c.consumer.Unlock()
	if c.pending != nil {
		return Reply{}, ErrBusy
	}
	if c.gone != nil {
		return Reply{}, c.gone
	}
	r := &request{}
	id, err := c.request(ctx, c.shell, "execute_request", content)
	if err != nil && !errors.Is(err, net.ErrClosed) { // if closed, its reader said why
		c.gone = &KernelDied{Reason: "the request could not be sent", Err: err}
	}
	r.id = id
	c.pending = r
	return c.wait(ctx, on)
}

// Wait goes on with the request that an Execute or Wait left under way because its
// context ended. Parameters and results are those of Execute.
func (c *Client) Wait(ctx context.Context, on func(Message)) (Reply, error) {
	if !c.consumer.TryLock() {
		return Reply{}, ErrBusy
	}
	defer c.consumer.Unlock()
	if c.pending == nil {
		return Reply{}, errors.New("nothing is being executed")
	}
	select {
	case c.doubts <- struct{}{}:
	default:
	}
	return c.wait(ctx, on)
}

// Drain gives on what has arrived of earlier requests and was not consumed: output
// of threads that outlived their cell. It does not wait.
func (c *Client) Drain(on func(Message)) error {
	if !c.consumer.TryLock() {
		return ErrBusy
	}
	defer c.consumer.Unlock()
	for range c.inbox.waiting() { // and nothing that comes meanwhile, lest it go on for ever
		if e, ok := c.inbox.pop(); ok {
			c.take(e, &request{}, on)
		}
	}
	return nil
}

// drainRounds is how many times timing.drain a kernel's last output may take to be
// consumed: a process that it left may go on sending for ever.
const drainRounds = 10

func (c *Client) wait(ctx context.Context, on func(Message)) (Reply, error) {
	r, dead := c.pending, c.dead
	timer := time.NewTimer(c.timing.silence)
	defer timer.Stop()
	if c.gone != nil {
		timer.Reset(c.timing.drain)
	}
	var end time.Time // of what still comes of a kernel that is gone
	first := -1       // how many events came before patience ended: what is owed may be among them
	for {
		if ctx.Err() != nil {
			return r.reply, ctx.Err()
		}
		select { // also while there is always something to pop
		case <-dead:
			dead = nil
			if c.gone == nil {
				c.gone = &KernelDied{Reason: "its process ended"}
				timer.Reset(c.timing.drain)
			}
		default:
		}
		switch {
		case c.gone != nil && end.IsZero():
			end = time.Now().Add(drainRounds * c.timing.drain)
		case c.gone != nil && time.Now().After(end):
			return c.finish(c.gone)
		case c.gone == nil && first < 0 && r.patience(c.timing.silence) <= 0:
			first = c.inbox.waiting()
		}
		if c.gone == nil && first == 0 {
			if err := c.ask(ctx, r); err != nil {
				return c.finish(err)
			}
			first = -1
		}
		if e, ok := c.inbox.pop(); ok {
			first--
			before := c.gone
			c.take(e, r, on)
			if before == nil && c.gone != nil {
				timer.Reset(c.timing.drain)
			}
			switch {
			case r.done():
				return c.finish(nil)
			case r.lost:
				return c.finish(ErrIdleLost)
			}
			continue
		}
		if c.gone != nil && !c.output && (r.replied || !c.answers) {
			return c.finish(c.gone) // nothing more can arrive
		}
		select {
		case <-c.inbox.wake:
		case <-ctx.Done():
		case <-dead: // see above
			continue
		case <-timer.C:
			if c.gone != nil {
				return c.finish(c.gone)
			}
			timer.Reset(r.patience(c.timing.silence))
		}
	}
}

// finish ends the request under way. A kernel that was asked to exit may well be
// gone before it says that it is idle.
func (c *Client) finish(err error) (Reply, error) {
	r := c.pending
	c.pending = nil
	var died *KernelDied
	if r.replied && r.reply.AskExit && errors.As(err, &died) {
		err = nil
	}
	return r.reply, err
}

// take consumes one event.
func (c *Client) take(e event, r *request, on func(Message)) {
	m := e.msg
	m.Own = r.id != "" && m.ParentID == r.id
	switch {
	case e.err != nil:
		c.lose(e)
	case e.channel == channelIOPub:
		r.heard = time.Now()
		c.takeOutput(m, r, on)
	case m.Own && m.Type == "execute_reply":
		r.half()
		reply, err := parseReply(m)
		if err != nil {
			c.gone = &ProtocolError{Channel: e.channel, Err: err}
			return
		}
		r.reply, r.replied = reply, true
		if c.restarted(m) && c.gone == nil {
			c.gone = &KernelDied{Reason: "another kernel process answered in its place: it was restarted"}
		}
	}
}

func (c *Client) takeOutput(m Message, r *request, on func(Message)) {
	if m.Type == "status" {
		switch state := executionState(m); {
		case state == "idle" && m.Own:
			r.idle = true
			r.half()
		case state == "idle" && slices.Contains(r.probes, m.ParentID):
			r.lost = r.replied && !r.idle
		case c.gone != nil:
		case state == "dead" || state == "restarting":
			c.gone = &KernelDied{Reason: "its status became " + state}
		case state == "starting" && c.restarted(m):
			c.gone = &KernelDied{Reason: "another kernel process starts in its place: it was restarted"}
		}
	}
	if on != nil && m.ParentID != "" {
		on(m)
	}
}

// restarted reports whether a message is another process's than the one that was
// greeted. One that was cut does not tell.
func (c *Client) restarted(m Message) bool {
	return c.info.session != "" && m.Dropped == 0 && m.Session != c.info.session
}

func executionState(m Message) string {
	if len(m.Content) > smallFrame {
		return "" // not worth a copy
	}
	var content struct {
		State string `json:"execution_state"`
	}
	if unmarshalObject(m.Content, &content) != nil {
		return ""
	}
	return content.State
}

// lose notes that a channel ended. The first cause stays.
func (c *Client) lose(e event) {
	switch e.channel {
	case channelIOPub:
		c.output = false
	case channelShell:
		c.answers = false
	}
	if c.gone == nil {
		c.gone = c.cause(e)
	}
}

// cause says what a channel's end means.
func (c *Client) cause(e event) error {
	var protocol *ProtocolError
	var limit *LimitError
	var broken violation
	var died *KernelDied
	switch {
	case errors.Is(e.err, errClosed), errors.As(e.err, &protocol), errors.As(e.err, &died):
		return e.err
	case errors.As(e.err, &limit), errors.As(e.err, &broken), errors.Is(e.err, errFlood):
		return &ProtocolError{Channel: e.channel, Err: e.err}
	}
	return &KernelDied{Reason: "its " + e.channel + " channel ended", Err: e.err}
}

// mostProbes bounds the wait for an idle while a thread keeps printing: it may be far
// behind in what is printed, or lost, and the probes' with it.
const mostProbes = 10

// ask is called when one of reply and idle is missing for long. For an idle, whatever
// else comes, a probe is sent through the same channels: if it comes back and ours did
// not, ours was lost.
func (c *Client) ask(ctx context.Context, r *request) error {
	silent := time.Since(r.heard) >= c.timing.silence
	switch n := len(r.probes); {
	case r.idle:
		return &ProtocolError{Channel: channelShell, Err: errors.New("the kernel became idle but never replied")}
	case n > 0 && silent, n == mostProbes:
		return ErrIdleLost // not even a probe's idle came
	}
	id, err := c.request(ctx, c.shell, "kernel_info_request", struct{}{})
	if err != nil {
		return &KernelDied{Reason: "a request could not be sent", Err: err}
	}
	r.probes = append(r.probes, id)
	r.since = time.Now()
	return nil
}

// What is kept of a reply's lists. Elements of arrays take many times their JSON.
const (
	tracebackLimit = 10_000
	payloadLimit   = 100
)

// line is a line of a traceback.
type line struct {
	text string
	set  bool
}

// UnmarshalJSON implements json.Unmarshaler. What is no text is an empty line.
func (l *line) UnmarshalJSON(data []byte) error {
	l.set = true
	_ = json.Unmarshal(data, &l.text)
	return nil
}

func parseReply(m Message) (Reply, error) {
	if m.Dropped > 0 { // nothing of it was verified: it counts as a failure
		return Reply{Status: "error", EValue: fmt.Sprintf("the kernel's reply has %d bytes more than are read of one", m.Dropped)}, nil
	}
	var content struct {
		Status    string                `json:"status"`
		Count     int                   `json:"execution_count"`
		EName     string                `json:"ename"`
		EValue    string                `json:"evalue"`
		Traceback *[tracebackLimit]line `json:"traceback"` // an array: what is over its length is not kept
		Payload   [payloadLimit]struct {
			Source string `json:"source"`
		} `json:"payload"`
	}
	if err := unmarshalObject(m.Content, &content); err != nil {
		return Reply{}, fmt.Errorf("execute_reply: %w", err)
	}
	r := Reply{
		Status: content.Status, Count: max(content.Count, 0),
		EName: content.EName, EValue: content.EValue, Traceback: texts(content.Traceback), At: m.Time(),
	}
	switch r.Status {
	case "ok", "error", "aborted":
	case "abort": // an older word for it, bash_kernel's for a cell that was interrupted
		r.Status = "aborted"
	default:
		return Reply{}, fmt.Errorf("execute_reply with status %q", r.Status)
	}
	for _, payload := range content.Payload {
		r.AskExit = r.AskExit || payload.Source == "ask_exit"
	}
	return r, nil
}

// texts returns a traceback's lines, with a mark where lines may be missing.
func texts(lines *[tracebackLimit]line) []string {
	if lines == nil {
		return nil
	}
	n := 0
	for n < len(lines) && lines[n].set {
		n++
	}
	all := make([]string, n, n+1)
	for i := range all {
		all[i] = lines[i].text
	}
	if n == len(lines) {
		all = append(all, "[the rest of the traceback was cut off]")
	}
	return all
}
