package runner

import (
	"io"
	"log/slog"
	"sync"
	"time"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
)

// saveShare is how many times as long as it took a save rests: saving takes a tenth
// of the time at most.
const saveShare = 9

// saver hands the notebook to CellsOptions.Save while its cells run, from a goroutine
// of its own: output must not wait for slow storage. A save that fails is tried again;
// only the last one's error counts, which is not the saver's to do.
type saver struct {
	snapshot func() *notebook.Notebook
	save     func(write func(io.Writer) error) error // nil: nothing is saved
	log      *slog.Logger                            // may be nil
	rest     time.Duration                           // how long the output of a running cell may wait

	notebook sync.Mutex // guards the notebook and unsaved: whoever runs cells holds it, but not while they wait for the kernel
	unsaved  bool

	due  chan struct{} // holds a token when a cell has ended: that need not wait
	stop chan struct{} // closed by close
	done chan struct{} // closed when the goroutine has ended
}

// start begins to save, until close.
func (s *saver) start() {
	s.due, s.stop, s.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(s.done)
		for s.save != nil && s.wait() {
			s.saveOnce()
		}
	}()
}

// close waits for the save under way.
func (s *saver) close() {
	close(s.stop)
	<-s.done
}

// soon is called at the start and when a cell has ended: what there is then does not
// wait longer than saves must rest.
func (s *saver) soon() {
	s.unsaved = true
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// wait returns when something may be due, and false when it is time to stop.
func (s *saver) wait() bool {
	select {
	case <-s.due:
	case <-time.After(s.rest):
	case <-s.stop:
		return false
	}
	return true
}

// saveOnce saves the notebook if it has changed, and rests.
func (s *saver) saveOnce() {
	s.notebook.Lock()
	if !s.unsaved {
		s.notebook.Unlock()
		return
	}
	began := time.Now()
	snapshot := s.snapshot()
	s.unsaved = false
	s.notebook.Unlock()
	if err := s.save(snapshot.Write); err != nil {
		s.notebook.Lock()
		s.unsaved = true
		s.notebook.Unlock()
		if s.log != nil {
			s.log.Warn("the notebook so far was not saved", "error", err)
		}
	}
	select {
	case <-time.After(saveShare * time.Since(began)):
	case <-s.stop:
	}
}

// await runs what waits for the kernel, with on for its messages. Meanwhile the notebook
// may be saved.
func (s *saver) await(on func(jupyter.Message), wait func(on func(jupyter.Message)) (jupyter.Reply, error)) (jupyter.Reply, error) {
	s.notebook.Unlock()
	defer s.notebook.Lock()
	return wait(func(m jupyter.Message) {
		s.notebook.Lock()
		defer s.notebook.Unlock()
		s.unsaved = true
		on(m)
	})
}
