package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
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
}

// answerRequests answers what is new on the branch of requests. What cannot be answered
// now, because the store is away say, is at the next call.
func (a *agent) answerRequests(ctx context.Context) error {
	if err := a.recallAnswers(ctx); err != nil {
		return err
	}
	tip, tree, err := a.ledger.Tip(ctx, requestsBranch)
	if errors.Is(err, fs.ErrNotExist) || err == nil && tip.Hash == a.requests.seen {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && path.Ext(name) == ".yaml" {
			errs = append(errs, a.answerOne(ctx, tree, name, tip.Author))
		}
		return cmp.Or(err, ctx.Err())
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	a.requests.seen = tip.Hash
	return nil
}

// recallAnswers lists, once, what earlier lives answered, and carries out what they
// accepted and did not get done.
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
	for key := range answers {
		id, ok := strings.CutPrefix(key, acceptedPrefix)
		if !ok || done[carriedOutPrefix+id] {
			continue
		}
		if err := a.resumeRequest(ctx, key); err != nil {
			return err
		}
	}
	a.requests.answers = answers
	return nil
}

// resumeRequest carries out what stands below a key.
func (a *agent) resumeRequest(ctx context.Context, key string) error {
	var plan accepted
	data, err := a.store.Get(ctx, key)
	if err == nil {
		err = yaml.Unmarshal(data, &plan)
	}
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	return a.carryOut(ctx, plan)
}

// answerOne answers the request of one file, unless it is answered.
func (a *agent) answerOne(ctx context.Context, tree fs.FS, name, author string) error {
	id := runner.RequestID(name)
	accepting := acceptedPrefix + id + ".yaml"
	if a.requests.answers[accepting] {
		return nil
	}
	data, unreadable := readRequest(tree, name)
	sum := sha256.Sum256(append([]byte(fmt.Sprint(unreadable, "\n")), data...))
	refusing := refusedPrefix + id + "-" + hex.EncodeToString(sum[:8]) + ".yaml"
	if a.requests.answers[refusing] {
		return nil
	}
	asked, problems := &request.Request{}, []strict.Problem{}
	if unreadable != nil {
		problems = append(problems, strict.Position{File: name, Line: 1, Column: 1}.Problem(unreadable.Error(), "write a request as a file of its own"))
	} else {
		asked, problems = request.Parse(name, data)
	}
	w := wish{
		Request: asked, at: time.Now().Truncate(time.Second),
		by: runner.Asked{Request: name, RequestedBy: inLine(cmp.Or(asked.RequestedBy, author)), Reason: inLine(asked.Reason)},
	}
	plan, err := accepted{}, error(nil)
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

// readRequest returns a request's text.
func readRequest(tree fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(tree, name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case info.Size() > request.MaxSize:
		return nil, fmt.Errorf("it has more than %d KiB", request.MaxSize>>10)
	}
	return fs.ReadFile(tree, name)
}

// accept makes a plan the answer and carries it out. Should another agent have been
// faster, its plan is the one.
func (a *agent) accept(ctx context.Context, key string, plan accepted) error {
	data, err := runner.Encode(plan)
	if err != nil {
		return err
	}
	switch err := a.store.Create(ctx, key, data); {
	case errors.Is(err, runner.ErrExists):
		err = a.resumeRequest(ctx, key)
		if err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("request: %w", err)
	default:
		if err := a.carryOut(ctx, plan); err != nil {
			return err
		}
	}
	a.requests.answers[key] = true
	return nil
}

// carryOut does what was accepted. It may be repeated, and is, after a crash.
func (a *agent) carryOut(ctx context.Context, plan accepted) error {
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
	return a.store.Put(ctx, carriedOutPrefix+runner.RequestID(answer.Request)+".yaml", nil)
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

// record puts a document into the outbox.
func (a *agent) record(ctx context.Context, name string, document any) error {
	data, err := runner.Encode(document)
	if err != nil {
		return err
	}
	if err := a.store.Put(ctx, runner.OutboxPrefix+name, data); err != nil {
		return err
	}
	a.recorded.ring()
	return nil
}
