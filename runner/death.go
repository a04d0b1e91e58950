package runner

import (
	"cmp"
	"time"

	"nbpress/runner/internal/jupyter"
)

// deathWatch keeps what a sandbox said of its kernel's end, for all who ask.
type deathWatch struct {
	done    chan struct{} // closed once death is known
	death   Death         // readable after done
	stop    chan struct{}
	stopped chan struct{}

	patience time.Duration // with a sandbox that does not say why a kernel died
}

// watchDeath waits for a sandbox's word in the background, until close.
func watchDeath(dead <-chan Death, patience time.Duration) *deathWatch {
	w := &deathWatch{patience: cmp.Or(patience, reasonTimeout), done: make(chan struct{}), stop: make(chan struct{}), stopped: make(chan struct{})}
	go func() {
		defer close(w.stopped)
		select {
		case w.death = <-dead: // the zero value where the sandbox only closes it
			close(w.done)
		case <-w.stop:
		}
	}()
	return w
}

func (w *deathWatch) close() {
	close(w.stop)
	<-w.stopped
}

// wait returns when the kernel has ended, or after a while.
func (w *deathWatch) wait(limit time.Duration) {
	select {
	case <-w.done:
	case <-time.After(limit):
	}
}

// reasonTimeout is how long a sandbox gets to say why a kernel died whose connection
// ended, where it does not ask for more.
const reasonTimeout = 700 * time.Millisecond

// slowToSay is a sandbox that knows why a kernel died some time later than its connection
// ended: a cluster tells why it ended a pod when it has.
type slowToSay interface {
	// ReasonTimeout is after how long it has said it.
	ReasonTimeout() time.Duration
}

// failure says how a kernel died: in the sandbox's words if it has any in time,
// else in the client's.
func (w *deathWatch) failure(died *jupyter.KernelDied, at *CellRef) *Failure {
	f := &Failure{Code: KernelDied, Message: died.Error(), Cell: at}
	if w == nil {
		return f
	}
	select {
	case <-w.done:
	case <-time.After(w.patience):
		return f
	}
	if w.death.Code != "" {
		f.Code = w.death.Code
	}
	f.Message = "the kernel died"
	if at == nil {
		f.Message = "the kernel died before it was ready"
	}
	if w.death.Message != "" {
		f.Message += ": " + w.death.Message
	}
	return f
}
