package runner

import (
	"context"
	"errors"
	"fmt"

	"nbpress/runner/internal/notebook"
	"nbpress/runner/internal/render"
)

// This file holds what is asked of a notebook or a template alone, without a report.

// ReadNotebook checks a notebook file before it is executed with the given values,
// and returns its cells' sources. Errors begin with file:line:column.
func ReadNotebook(name string, data []byte, values map[string]any) (sources []string, err error) {
	nb, err := notebook.Parse(data)
	var syntax *notebook.SyntaxError
	if errors.As(err, &syntax) {
		return nil, fmt.Errorf("%s:%d:%d: %s", name, syntax.Line, syntax.Column, syntax.Msg)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var errs []error
	for i, cell := range nb.Cells {
		sources = append(sources, cell.Source)
		if values == nil || !cell.Environment() || !cell.Executed() {
			continue
		}
		_, _, problems := notebook.Substitute(cell.Source, values)
		for _, p := range problems {
			line, column := nb.Position(i, p.Line)
			errs = append(errs, fmt.Errorf("%s:%d:%d: %s; %s", name, line, column, p.What, p.Do))
		}
	}
	return sources, errors.Join(errs...)
}

// Page says what RenderPage renders.
type Page struct {
	Template string            // its path among Files
	Files    map[string][]byte // what it may use
	Output   []byte            // output.json
	Language string
	Strict   bool // an undefined name is an error
}

// RenderPage renders one page in a sandbox of its own. The error is a *Failure where
// the template or the data is to blame.
func RenderPage(ctx context.Context, exec Executor, p Page) (page []byte, warnings []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, renderTimeout)
	defer cancel()
	sandbox, err := exec.Start(ctx, Spec{Run: "render"})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, sandbox.Close(cleanup))
	}()
	result, err := render.Pages(ctx, sandbox, render.Request{
		Template: p.Template, Files: p.Files, Output: p.Output, Languages: []string{p.Language}, Strict: p.Strict,
	})
	if err != nil {
		return nil, nil, fitError(renderFailure(err, renderTimeout))
	}
	return result.Pages[p.Language], fitWarnings(result.Warnings), nil
}
