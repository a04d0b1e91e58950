package runner

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"nbpress/runner/internal/jupyter"
)

// saveShare is how many times as long as it took a save rests: saving takes a tenth
// of the time at most.
const saveShare = 9

// saver hands the notebook to CellsOptions.Save while cells run. The notebook is
// encoded by the goroutine that runs the cells; saving goes on beside it, since
// output must not wait for slow storage. A save that fails is tried again by the
// next: only the last one's error counts, which is not this one's to do.
type saver struct {
	encode func() ([]byte, error)
	save   func([]byte) error // nil: nothing is saved
	log    *slog.Logger       // may be nil
	rest   time.Duration      // how long the output of a running cell may wait

	unsaved bool
	since   time.Time  // when the last save began
	next    time.Time  // when the next may begin
	current *savedFile // nil: none is under way
}

// savedFile is a save under way.
type savedFile struct {
	done  chan struct{}
	began time.Time
	ended time.Time // readable after done
	err   error     // readable after done
}

// soon is called at the start and when a cell has ended: what there is then does not
// wait longer than saves must rest.
func (s *saver) soon() {
	s.unsaved, s.since = true, time.Time{}
	s.try()
}

// try saves what is not saved, if it may.
func (s *saver) try() {
	if s.save == nil || !s.unsaved || s.wait() > 0 {
		return
	}
	began := time.Now()
	data, err := s.encode()
	if err != nil {
		return // the last save says so
	}
	s.unsaved, s.since = false, began
	f := &savedFile{done: make(chan struct{}), began: began}
	s.current = f
	go func() { // ended by close, or collected by wait
		defer close(f.done)
		f.err = s.save(data)
		f.ended = time.Now()
	}()
}

// wait says how long it is until what is not saved may be.
func (s *saver) wait() time.Duration {
	if s.current != nil {
		select {
		case <-s.current.done:
			s.collect()
		default:
			return time.Second // storage is slow: ask again
		}
	}
	return max(time.Until(s.next), time.Until(s.since.Add(s.rest)), 0)
}

func (s *saver) collect() {
	f := s.current
	s.current = nil
	s.next = f.ended.Add(saveShare * f.ended.Sub(f.began))
	if f.err != nil {
		s.unsaved = true
		if s.log != nil {
			s.log.Warn("the notebook so far was not saved", "error", f.err)
		}
	}
}

// close waits for the save under way.
func (s *saver) close() {
	if s.current != nil {
		<-s.current.done
		s.collect()
	}
}

// execute runs a cell's code, and saves from time to time. What it returns is
// jupyter.Client.Execute's.
func (s *saver) execute(ctx context.Context, client *jupyter.Client, source string, on func(jupyter.Message)) (jupyter.Reply, error) {
	if s.save == nil {
		return client.Execute(ctx, source, on)
	}
	var cancel context.CancelFunc
	var alarm *time.Timer
	set := func() {
		if s.unsaved && alarm == nil {
			alarm = time.AfterFunc(s.wait(), cancel)
		}
	}
	heard := func(m jupyter.Message) { // not before: the request must be sent whole
		on(m)
		s.unsaved = true
		set()
	}
	untilAlarm := func(run func(due context.Context) (jupyter.Reply, error)) (jupyter.Reply, error) {
		var due context.Context
		due, cancel = context.WithCancel(ctx)
		defer cancel()
		alarm = nil
		reply, err := run(due)
		if alarm != nil {
			alarm.Stop()
		}
		return reply, err
	}
	reply, err := untilAlarm(func(due context.Context) (jupyter.Reply, error) { return client.Execute(due, source, heard) })
	for errors.Is(err, context.Canceled) && ctx.Err() == nil {
		s.try()
		reply, err = untilAlarm(func(due context.Context) (jupyter.Reply, error) {
			set()
			return client.Wait(due, heard)
		})
	}
	if errors.Is(err, context.Canceled) {
		err = ctx.Err()
	}
	return reply, err
}
