package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// This file takes out of the sandbox what a notebook hands over. Names and contents
// are its own choice, so nothing here is believed.

// budget is how many bytes an attempt may still hold, over all of its executions: a
// report that runs once per language gets no more than one that runs once.
type budget struct {
	output    int64 // output.json
	published int64
	executed  int64 // notebooks
	unpacked  int64 // what published archives are searched for secrets; it is not kept
}

func fullBudget() budget {
	return budget{output: 64 << 20, published: 64 << 20, executed: 32 << 20, unpacked: 256 << 20}
}

const (
	maxPublished  = 50
	leastExecuted = 1 << 20 // what a notebook's outputs get whatever the others took: they are cut, no failure
)

// output takes output.json and the published files out of the sandbox.
func (p *press) output(ctx context.Context, language string) ([]byte, error) {
	output, err := p.sandbox.Get(ctx, "output.json", p.left.output)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &Failure{Code: OutputMissing, Message: "the notebook wrote no output.json that is a regular file"}
	case errors.Is(err, ErrTooLarge) && language != "":
		return nil, &Failure{Code: OutputTooLarge, Message: fmt.Sprintf("%v; those of all languages together may have %d MiB", err, fullBudget().output>>20)}
	case errors.Is(err, ErrTooLarge):
		return nil, &Failure{Code: OutputTooLarge, Message: err.Error()}
	case errors.Is(err, fs.ErrPermission):
		return nil, &Failure{Code: OutputInvalid, Message: "output.json cannot be read: the notebook took the right to away"}
	case err != nil:
		return nil, err
	}
	if name := p.hidden.In(output); name != "" {
		return nil, leaked(artifactName("output", language, ".json"), name)
	}
	p.left.output -= int64(len(output))
	p.outcome.Kept[artifactName("output", language, ".json")] = output
	if len(p.job.Bundle.Config.Publish) == 0 {
		return output, nil
	}
	files, err := p.published(ctx)
	if p.outcome.Published == nil {
		p.outcome.Published = map[string]map[string][]byte{}
	}
	for _, served := range p.served(language) {
		p.outcome.Published[served] = files
	}
	return output, err
}

// served lists the languages that an execution is for.
func (p *press) served(execution string) []string {
	if execution == "" {
		return p.job.Languages
	}
	return []string{execution}
}

// published returns the files that match the report's patterns. They stand beside
// the page, so their folders are dropped.
func (p *press) published(ctx context.Context) (map[string][]byte, error) {
	names, err := p.sandbox.List(ctx)
	if err != nil {
		return nil, err
	}
	files, origin := map[string][]byte{}, map[string]string{} // origin: by the name in lower case
	for _, name := range p.matching(names) {
		if secret := p.hidden.In([]byte(name)); secret != "" {
			return nil, leaked("the name of a file that matches publish", secret)
		}
		own, ours := p.job.Bundle.Files[name]
		base := path.Base(name)
		if !ours && !publishable.MatchString(base) {
			return nil, unpublishable(name)
		}
		data, err := p.fetch(ctx, name)
		if err != nil {
			return nil, err
		}
		if ours && bytes.Equal(data, own) {
			continue // as the bundle has it: *.html is not for its template
		}
		if !publishable.MatchString(base) {
			return nil, unpublishable(name)
		}
		if other, taken := origin[strings.ToLower(base)]; taken {
			return nil, &Failure{Code: OutputInvalid, Message: fmt.Sprintf("publish: %q and %q would have the same name beside the page", other, name)}
		}
		secret, unpacked, whole := p.hidden.InFile(data, p.left.unpacked)
		if secret != "" {
			return nil, leaked(name, secret)
		}
		if !whole {
			p.warn("publish: %q unpacks to too much to be searched for secrets", name)
		}
		p.left.unpacked -= unpacked
		p.left.published -= int64(len(data))
		origin[strings.ToLower(base)] = name
		if files[base] = data; len(files) > maxPublished {
			return nil, &Failure{Code: OutputTooLarge, Message: fmt.Sprintf("more than %d files match publish", maxPublished)}
		}
	}
	return files, nil
}

// publishable matches the names that are safe as a key of every store, in a link and
// in a file system that does not tell case: published files are linked to by name.
var publishable = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._ -]{0,127}$`)

func unpublishable(name string) *Failure {
	return &Failure{Code: OutputInvalid, Message: fmt.Sprintf(
		"publish: the name of %q cannot be published: use letters A to Z, digits, blanks and . _ -, at most 128, first a letter, a digit or _", name)}
}

// matching returns the names that match the report's patterns, each once, and warns
// of the patterns that match nothing. Hidden files never match, nor does the page.
func (p *press) matching(names []string) []string {
	var matching []string
	for _, pattern := range p.job.Bundle.Config.Publish {
		matched := false
		for _, name := range names {
			ok, err := path.Match(pattern, name)
			if err != nil || !ok || hidden(name) || strings.EqualFold(path.Base(name), indexName) {
				continue
			}
			matched = true
			if !slices.Contains(matching, name) {
				matching = append(matching, name)
			}
		}
		if !matched {
			p.warn("publish: no file matches %q", pattern)
		}
	}
	return matching
}

// hidden reports whether a file or a folder on its path begins with a dot.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.Contains(name, "/.") }

// fetch returns a file that is to be published.
func (p *press) fetch(ctx context.Context, name string) ([]byte, error) {
	data, err := p.sandbox.Get(ctx, name, p.left.published)
	switch {
	case errors.Is(err, ErrTooLarge):
		return nil, &Failure{Code: OutputTooLarge, Message: fmt.Sprintf("publish: %v: all files together may have %d MiB", err, fullBudget().published>>20)}
	case errors.Is(err, fs.ErrPermission):
		return nil, &Failure{Code: OutputInvalid, Message: fmt.Sprintf("publish: %v", err)}
	}
	return data, err
}
