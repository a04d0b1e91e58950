package kube

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"nbpress/runner"
)

// This file is the agent's side of warden.py, whose head describes what they say to each
// other. Nothing that comes from there is believed beyond its limits: the notebook knows
// the key as well.

const (
	longestLine   = 4096 // bytes of a line, as in warden.py
	longestWords  = 1000 // bytes of what the warden says in words
	leashPause    = 50 * time.Millisecond
	proofTimeout  = 10 * time.Second // of the greeting, once somebody listens
	pingEvery     = 10 * time.Second
	answerTimeout = 100 * time.Second // of a command; the warden itself gives up earlier
	silentFor     = 90 * time.Second  // then the leash counts as lost; as in warden.py
)

// errLeashLost is what is left of a leash when its connection has ended.
var errLeashLost = errors.New("the connection to the kernel's container ended")

// refusedError is the warden's word for what it could not do.
type refusedError struct{ message string }

func (e *refusedError) Error() string { return e.message }

// leash holds the kernel's container of one pod: process 1 there starts and ends kernels
// for it, and ends with it. kernel and stop are called by one goroutine.
type leash struct {
	conn    net.Conn
	answers chan fact     // to started and stopped, in the order of the questions
	over    chan struct{} // closed when the connection has ended
	wait    sync.WaitGroup

	mu      sync.Mutex  // guards what follows
	tell    []byte      // the key of our lines
	told    uint64      // how many there were
	endings chan ending // of the kernel that runs
	cause   error       // why the connection ended
}

// ending is how a kernel ended.
type ending struct {
	status  int    // where no signal ended it
	signal  int    // 0: it exited
	oom     bool   // its container was out of memory
	limit   int64  // bytes that the container may have; 0 where unknown
	message string // in the warden's words; "" mostly
	lost    bool   // nobody knows: the warden is gone with it, or out of reach
}

// fact is what a warden says.
type fact struct {
	Is      string `json:"is"`
	Status  *int   `json:"status"`
	Signal  int    `json:"signal"`
	OOM     bool   `json:"oom"`
	Limit   int64  `json:"limit"`
	Message string `json:"message"`
}

// death says it in the words that every executor uses.
func (e ending) death() runner.Death {
	switch {
	case e.lost:
		return runner.Death{Code: runner.KernelDied, Message: e.message}
	case e.oom && e.limit > 0:
		return runner.Death{Code: runner.OOMKilled, Message: fmt.Sprintf("the notebook needed more than its %d MiB of memory", e.limit>>20)}
	case e.oom:
		return runner.Death{Code: runner.OOMKilled, Message: "the notebook needed more memory than it may have"}
	case e.signal != 0:
		return runner.Death{Code: runner.KernelDied, Message: "signal: " + signalName(e.signal)}
	case e.status == 0:
		return runner.Death{Message: "exit status 0"}
	case e.message != "":
		return runner.Death{Code: runner.KernelDied, Message: e.message}
	}
	return runner.Death{Code: runner.KernelDied, Message: "exit status " + strconv.Itoa(e.status)}
}

// signalName names those signals of Linux that end kernels, whatever the agent's own system.
func signalName(signal int) string {
	names := map[int]string{
		1: "hangup", 2: "interrupt", 3: "quit", 4: "illegal instruction", 6: "aborted", 7: "bus error",
		8: "floating point exception", 9: "killed", 11: "segmentation fault", 13: "broken pipe", 15: "terminated",
	}
	if name, ok := names[signal]; ok {
		return name
	}
	return strconv.Itoa(signal)
}

// takeLeash dials the warden of a pod until it listens or ctx ends, and proves to it that
// it has the key, as it does to us. A warden has one leash in its life.
func takeLeash(ctx context.Context, dial dialer, key []byte) (*leash, error) {
	for {
		l, err := tryLeash(ctx, dial, key)
		if err == nil || !errors.Is(err, errNoGreeting) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		case <-time.After(leashPause):
		}
	}
}

// errNoGreeting is of a connection that ended before the warden said anything, as happens
// to those that come through the cluster's API, and to some of very many.
var errNoGreeting = errors.New("nothing greets us")

func tryLeash(ctx context.Context, dial dialer, key []byte) (*leash, error) {
	conn, err := dialUntil(ctx, dial, portLeash)
	if err != nil {
		return nil, fmt.Errorf("reach the kernel's container: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	l, reader, hear, err := greet(conn, key)
	if !stop() {
		err = errors.Join(err, context.Cause(ctx))
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take the kernel's container: %w", err), conn.Close())
	}
	l.wait.Go(func() { l.listen(reader, hear) })
	l.wait.Go(l.ping)
	return l, nil
}

// dialUntil dials until somebody listens, or until ctx ends.
func dialUntil(ctx context.Context, dial dialer, port int) (net.Conn, error) {
	for {
		conn, err := dial(ctx, port)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		case <-time.After(leashPause):
		}
	}
}

// greet shakes hands and returns what reads the warden's lines, with the key of theirs.
func greet(conn net.Conn, key []byte) (*leash, *bufio.Reader, []byte, error) {
	if err := conn.SetDeadline(time.Now().Add(proofTimeout)); err != nil {
		return nil, nil, nil, err
	}
	reader := bufio.NewReaderSize(conn, longestLine)
	line, err := reader.ReadSlice('\n')
	if err != nil && len(line) == 0 {
		return nil, nil, nil, fmt.Errorf("%w: %w", errNoGreeting, err)
	}
	theirs, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), "nbpress-leash 1 ")
	if !ok || len(theirs) != 32 {
		return nil, nil, nil, fmt.Errorf("what listens is no warden: it says %.60q", line)
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return nil, nil, nil, err
	}
	ours := hex.EncodeToString(random)
	nonces := []byte(theirs + ours)
	if _, err := fmt.Fprintf(conn, "%s %s\n", ours, lineCode(key, []byte("agent"), nonces)); err != nil {
		return nil, nil, nil, fmt.Errorf("send the proof: %w", err)
	}
	line, err = reader.ReadSlice('\n')
	if err != nil {
		return nil, nil, nil, fmt.Errorf("it does not take our key: %w", err)
	}
	if !hmac.Equal(bytes.TrimSuffix(line, []byte("\n")), lineCode(key, []byte("warden"), nonces)) {
		return nil, nil, nil, errors.New("what listens does not know the key")
	}
	l := &leash{conn: conn, answers: make(chan fact, 1), over: make(chan struct{}), tell: lineKey(key, "agent", nonces)}
	return l, reader, lineKey(key, "warden", nonces), nil
}

// lineCode is HMAC-SHA256 in hexadecimal.
func lineCode(key []byte, texts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, text := range texts {
		mac.Write(text)
	}
	return []byte(hex.EncodeToString(mac.Sum(nil)))
}

// lineKey is the key of one side's lines on one connection.
func lineKey(key []byte, side string, nonces []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(side + " lines"))
	mac.Write(nonces)
	return mac.Sum(nil)
}

// readFact checks and reads the warden's line of the given number.
func readFact(line, key []byte, number uint64) (fact, error) {
	proof, text, ok := bytes.Cut(line, []byte(" "))
	if !ok || !hmac.Equal(proof, lineCode(key, strconv.AppendUint(nil, number, 10), []byte(" "), text)) {
		return fact{}, errors.New("a line is not the warden's")
	}
	var f fact
	if err := json.Unmarshal(text, &f); err != nil {
		return fact{}, fmt.Errorf("read the warden's line: %w", err)
	}
	f.Message = strings.ToValidUTF8(f.Message, "\uFFFD")
	if len(f.Message) > longestWords {
		f.Message = strings.ToValidUTF8(f.Message[:longestWords], "") + "…"
	}
	f.Limit = max(f.Limit, 0)
	switch f.Is {
	case "started", "stopped", "refused", "pong":
		return f, nil
	case "ended":
		if (f.Status == nil) == (f.Signal == 0) || f.Signal < 0 || f.Status != nil && *f.Status < 0 {
			return fact{}, errors.New("the warden says that the kernel ended, and not how")
		}
		return f, nil
	}
	return fact{}, fmt.Errorf("the warden says %.60q, which has no meaning", f.Is)
}

// listen reads the warden's lines until the connection ends.
func (l *leash) listen(reader *bufio.Reader, key []byte) {
	err := l.hear(reader, key)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = fmt.Errorf("%w: %w", errLeashLost, err)
	}
	_ = l.conn.Close() // it is of no more use
	if l.endings != nil {
		l.endings <- ending{lost: true, message: l.cause.Error()}
		l.endings = nil
	}
	close(l.over)
}

func (l *leash) hear(reader *bufio.Reader, key []byte) error {
	for number := uint64(0); ; number++ {
		if err := l.conn.SetReadDeadline(time.Now().Add(silentFor)); err != nil {
			return err
		}
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		f, err := readFact(line[:len(line)-1], key, number)
		if err != nil {
			return err
		}
		switch f.Is {
		case "pong":
		case "ended":
			l.ended(f)
		default:
			select {
			case l.answers <- f:
			default:
				return fmt.Errorf("the warden says %q, and nobody asked", f.Is)
			}
		}
	}
}

// ended tells of the kernel's end to who waits for it.
func (l *leash) ended(f fact) {
	e := ending{signal: f.Signal, oom: f.OOM, limit: f.Limit, message: f.Message}
	if f.Status != nil {
		e.status = *f.Status
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.endings != nil {
		l.endings <- e
		l.endings = nil
	}
}

// ping tells the warden that we live, and makes it answer.
func (l *leash) ping() {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.over:
			return
		case <-ticker.C:
			_ = l.say("ping") // if it fails listen is told
		}
	}
}

// say sends one command.
func (l *leash) say(command string) error {
	text, err := json.Marshal(map[string]string{"do": command})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return l.cause
	}
	proof := lineCode(l.tell, strconv.AppendUint(nil, l.told, 10), []byte(" "), text)
	l.told++
	err = l.conn.SetWriteDeadline(time.Now().Add(proofTimeout))
	if err == nil {
		_, err = fmt.Fprintf(l.conn, "%s %s\n", proof, text)
	}
	if err != nil {
		l.cause = fmt.Errorf("%w: %w", errLeashLost, err)
		_ = l.conn.Close() // which ends listen
		return l.cause
	}
	return nil
}

// ask sends a command and returns its answer. Who gives up waiting has lost the leash: the
// next answer would be another question's.
func (l *leash) ask(ctx context.Context, command, want string) error {
	if err := l.say(command); err != nil {
		return err
	}
	select {
	case f := <-l.answers:
		if f.Is == "refused" {
			return &refusedError{f.Message}
		}
		if f.Is != want {
			l.drop(fmt.Errorf("the warden says %q where %q was asked for", f.Is, want))
			return l.reason()
		}
		return nil
	case <-l.over:
		return l.reason()
	case <-time.After(answerTimeout):
		l.drop(fmt.Errorf("the warden did not answer %q in %v", command, answerTimeout))
		return l.reason()
	case <-ctx.Done():
		l.drop(context.Cause(ctx))
		return context.Cause(ctx)
	}
}

// kernel starts a kernel, after ending the one before, and returns what yields how it ended.
func (l *leash) kernel(ctx context.Context) (<-chan ending, error) {
	if err := l.stop(ctx); err != nil {
		return nil, err
	}
	endings := make(chan ending, 1)
	l.mu.Lock()
	cause := l.cause
	if cause == nil {
		l.endings = endings
	}
	l.mu.Unlock()
	if cause != nil {
		return nil, cause
	}
	if err := l.ask(ctx, "start", "started"); err != nil {
		l.mu.Lock()
		l.endings = nil
		l.mu.Unlock()
		return nil, fmt.Errorf("start a kernel: %w", err)
	}
	return endings, nil
}

// stop returns when the kernel and every other process of its container are gone.
func (l *leash) stop(ctx context.Context) error {
	if err := l.ask(ctx, "stop", "stopped"); err != nil {
		return fmt.Errorf("stop the kernel: %w", err)
	}
	return nil
}

// reason returns why the connection ended.
func (l *leash) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// drop ends the connection for a reason.
func (l *leash) drop(reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = fmt.Errorf("%w: %w", errLeashLost, reason)
	}
	_ = l.conn.Close() // which ends listen
}

// Close lets go: the warden ends every process of its container. It is idempotent.
func (l *leash) Close() {
	l.drop(net.ErrClosed)
	l.wait.Wait()
}
