package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"nbpress/internal/strict"
	"nbpress/runner"
	"nbpress/runner/request"
)

// requestsBranch holds what people ask for. The agent only reads it.
const requestsBranch = "runs/requests"

// The store's keys of requests: what was accepted stands there before the first run of it
// starts, and is the request's end; what was carried out is marked; what was refused
// is known by its text, so that a mended file is looked at again.
const (
	acceptedPrefix   = "requests/accepted/"
	carriedOutPrefix = "requests/done/"
	refusedPrefix    = "requests/refused/"
)

// accepted is a request's answer with what is to be done for it.
type accepted struct {
	Answer runner.Answer       `yaml:"answer"`
	Slots  []runner.SlotRecord `yaml:"slots,omitempty"`
}

// requests is what the goroutine that follows the repository knows of requests.
type requests struct {
	seen    string          // the commit whose requests are all answered
	answers map[string]bool // keys of the first and the third kind; nil before they are listed
	undone  map[string]bool // keys of the first kind: what is, or may be, accepted and not carried out
}

// answerRequests answers what is new on the branch of requests. What cannot be answered
// or carried out now, because the store is away say, is at the next call; it does not
// hold up the others.
func (a *agent) answerRequests(ctx context.Context) error {
	if err := a.recallAnswers(ctx); err != nil {
		return err
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(a.requests.undone)) {
		errs = append(errs, a.resumeRequest(ctx, key))
	}
	tip, tree, err := a.ledger.Tip(ctx, requestsBranch)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && tip.Hash == a.requests.seen:
		return errors.Join(errs...)
	case err == nil:
		err = a.lookAgain(ctx)
	}
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	answered := len(errs)
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && isRequest(name) {
			if err := a.answerOne(ctx, tree, name, tip.Author); err != nil {
				errs = append(errs, err)
			}
		}
		return cmp.Or(err, ctx.Err())
	})
	if err == nil && len(errs) == answered {
		a.requests.seen = tip.Hash
	}
	return errors.Join(append(errs, err)...)
}

// isRequest reports whether a file of the branch is to be read. People keep other files
// there too, such as a README.
func isRequest(name string) bool { return path.Ext(name) == ".yaml" || path.Ext(name) == ".yml" }

// lookAgain takes what was merged before a request, and after the last look: a request for
// a report that came just before it is not refused.
func (a *agent) lookAgain(ctx context.Context) error {
	if err := a.sync(ctx); err != nil {
		return err
	}
	if head, _ := a.repo.Head(); head.Hash != a.planned {
		return errors.New("not all reports are known") // the log says why, and the next poll tries again
	}
	return nil
}

// recallAnswers lists, once, what earlier lives answered, and what of it is not carried
// out.
func (a *agent) recallAnswers(ctx context.Context) error {
	if a.requests.answers != nil {
		return nil
	}
	done, answers := map[string]bool{}, map[string]bool{}
	for prefix, into := range map[string]map[string]bool{carriedOutPrefix: done, acceptedPrefix: answers, refusedPrefix: answers} {
		keys, err := a.store.List(ctx, prefix)
		if err != nil {
			return fmt.Errorf("requests: %w", err)
		}
		for _, key := range keys {
			into[key] = true
		}
	}
	undone := map[string]bool{}
	for key := range answers {
		if id, ok := strings.CutPrefix(key, acceptedPrefix); ok && !done[carriedOutPrefix+id] {
			undone[key] = true
		}
	}
	a.requests.answers, a.requests.undone = answers, undone
	return nil
}

// resumeRequest carries out what was accepted below a key.
func (a *agent) resumeRequest(ctx context.Context, key string) error {
	var plan accepted
	data, err := a.store.Get(ctx, key)
	if errors.Is(err, fs.ErrNotExist) { // its write had failed
		delete(a.requests.undone, key)
		return nil
	}
	if err == nil {
		a.requests.answers[key] = true
		err = yaml.Unmarshal(data, &plan)
	}
	if err != nil {
		return fmt.Errorf("accepted request %s: %w", key, err)
	}
	return a.carryOut(ctx, key, plan)
}

// answerOne answers the request of one file, unless it is answered.
func (a *agent) answerOne(ctx context.Context, tree fs.FS, name, author string) error {
	id := runner.RequestID(name)
	accepting := acceptedPrefix + id + ".yaml"
	if a.requests.answers[accepting] {
		return nil
	}
	data, unfit, err := readRequest(tree, name)
	if err != nil {
		return fmt.Errorf("request %s: %w", name, err)
	}
	sum := sha256.Sum256(append([]byte(unfit+"\n"), data...))
	refusing := refusedPrefix + id + "-" + hex.EncodeToString(sum[:8]) + ".yaml"
	if a.requests.answers[refusing] {
		return nil
	}
	asked, problems := &request.Request{}, []strict.Problem{}
	if unfit != "" {
		problems = append(problems, strict.Position{File: name, Line: 1, Column: 1}.Problem(unfit, "write a request as a file of its own"))
	} else {
		asked, problems = request.Parse(name, data)
	}
	w := wish{
		Request: asked, at: time.Now().UTC().Truncate(time.Second),
		by: runner.Asked{Request: name, RequestedBy: inLine(cmp.Or(asked.RequestedBy, author)), Reason: inLine(asked.Reason)},
	}
	var plan accepted
	if len(problems) == 0 {
		if plan, problems, err = a.grant(ctx, w); err != nil {
			return fmt.Errorf("request %s: %w", name, err)
		}
	}
	if len(problems) > 0 {
		return a.refuse(ctx, refusing, w, problems)
	}
	return a.accept(ctx, accepting, plan)
}

// inLine puts a person's words on one line, for documents and logs.
func inLine(text string) string { return withoutControls(strings.Join(strings.Fields(text), " "), ' ') }

// readRequest returns a request's text, or why the file is not fit to be one. The error
// is the local disk's.
func readRequest(tree fs.FS, name string) (data []byte, unfit string, err error) {
	info, err := fs.Stat(tree, name)
	switch {
	case err != nil:
		return nil, "", err
	case !info.Mode().IsRegular():
		return nil, "it is no regular file", nil
	case info.Size() > request.MaxSize:
		return nil, fmt.Sprintf("it has more than %d KiB", request.MaxSize>>10), nil
	}
	data, err = fs.ReadFile(tree, name)
	return data, "", err
}

// accept makes a plan the answer and carries it out. Where one is there, because the
// store's answer was lost or another agent was faster, that is the one.
func (a *agent) accept(ctx context.Context, key string, plan accepted) error {
	data, err := runner.Encode(plan)
	if err != nil {
		return err
	}
	err = a.store.Create(ctx, key, data)
	exists := errors.Is(err, runner.ErrExists)
	if err != nil && !exists {
		a.requests.undone[key] = true // it may be there all the same: look before it is answered again
		return fmt.Errorf("request %s: %w", plan.Answer.Request, err)
	}
	a.requests.answers[key], a.requests.undone[key] = true, true
	if exists {
		return a.resumeRequest(ctx, key)
	}
	return a.carryOut(ctx, key, plan)
}

// carryOut does what was accepted below a key. It may be repeated, and is, after a crash.
func (a *agent) carryOut(ctx context.Context, key string, plan accepted) error {
	answer := plan.Answer
	log := a.log.With("request", answer.Request, "report", answer.Report, "by", answer.RequestedBy)
	for _, record := range plan.Slots {
		if err := a.goOn(ctx, record); err != nil {
			return fmt.Errorf("request %s: %w", answer.Request, err)
		}
	}
	for _, run := range answer.Canceled {
		if _, err := a.runner.Cancel(ctx, run.ID, answer.Asked); err != nil && !errors.Is(err, runner.ErrNotOpen) {
			return fmt.Errorf("request %s: %w", answer.Request, err)
		}
	}
	if err := a.record(ctx, "answer-"+runner.RequestID(answer.Request)+".yaml", answer); err != nil {
		return err
	}
	log.Info("request accepted", "runs", len(answer.Runs), "canceled", len(answer.Canceled), "left_out", len(answer.LeftOut))
	if err := a.store.Put(ctx, carriedOutPrefix+path.Base(key), nil); err != nil {
		return fmt.Errorf("request %s: %w", answer.Request, err)
	}
	delete(a.requests.undone, key)
	return nil
}

// refuse answers a request that cannot be carried out.
func (a *agent) refuse(ctx context.Context, key string, w wish, problems []strict.Problem) error {
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	answer := w.answer()
	answer.Status = runner.AnswerRefused
	answer.Error = &runner.RunError{
		Code: runner.InvalidRequest, Fault: runner.InvalidRequest.Fault(),
		Message: mistakes(len(lines)) + " in the request", Advice: runner.InvalidRequest.Advice(), Problems: lines,
	}
	a.mu.Lock()
	known := a.reports[answer.Report] != nil
	a.mu.Unlock()
	if !known { // somebody's text is no folder of the ledger
		answer.Report = ""
	}
	if err := a.record(ctx, "answer-"+path.Base(key), answer); err != nil {
		return err
	}
	a.log.Warn("request refused", "request", answer.Request, "by", answer.RequestedBy, "first", lines[0])
	if err := a.store.Put(ctx, key, nil); err != nil {
		return err
	}
	a.requests.answers[key] = true
	return nil
}
