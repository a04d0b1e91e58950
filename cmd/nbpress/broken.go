package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"nbpress/runner"
)

// brokenPrefix holds, for each broken report, a digest of what is wrong with it.
const brokenPrefix = "broken/"

func brokenKey(name string) string { return brokenPrefix + runner.FlatName(name) + ".yaml" }

// markBroken records in the ledger which bundles are broken, once for what is wrong
// with each: further commits that leave it as it is add nothing. A report that was
// mended, or is gone, is forgotten.
func (a *agent) markBroken(ctx context.Context, items map[string]*newsItem) error {
	keys, err := a.store.List(ctx, brokenPrefix)
	errs := []error{err}
	marks := map[string]bool{}
	for name, item := range items {
		if item.bundle == nil {
			marks[brokenKey(name)] = true
			errs = append(errs, a.markOne(ctx, name, item))
		}
	}
	for _, key := range keys {
		if !marks[key] {
			errs = append(errs, a.store.Delete(ctx, key))
		}
	}
	return errors.Join(errs...)
}

func (a *agent) markOne(ctx context.Context, name string, item *newsItem) error {
	mark := brokenKey(name)
	var lines []string
	for _, p := range item.problems {
		lines = append(lines, p.String())
	}
	a.log.Warn("bundle is invalid", "report", name, "commit", short(item.commit.Hash), "problems", len(lines), "first", lines[0])
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	digest := hex.EncodeToString(sum[:8])
	marked, err := a.store.Get(ctx, mark)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || string(marked) == digest {
		return err
	}
	err = a.record(ctx, "broken-"+runner.FlatName(name)+"-"+digest+".yaml", runner.ReportRecord{
		APIVersion: runner.APIVersion, Kind: runner.KindReport, Report: name,
		SeenAt: time.Now().Truncate(time.Second), BundleCommit: item.commit.Hash, Status: runner.StatusError,
		Error: &runner.RunError{
			Code: runner.InvalidReport, Fault: runner.InvalidReport.Fault(),
			Message: mistakes(len(lines)) + " in the bundle", Advice: runner.InvalidReport.Advice(), Problems: lines,
		},
	})
	if err != nil {
		return err
	}
	return a.store.Put(ctx, mark, []byte(digest))
}

// mistakes counts them in words.
func mistakes(n int) string {
	if n == 1 {
		return "1 mistake"
	}
	return fmt.Sprintf("%d mistakes", n)
}
