package runner

import (
	"context"
	"errors"
	"io"

	"nbpress/runner/internal/pongo2"
	"nbpress/runner/internal/render"
	"nbpress/runner/report"
)

// This file holds what is asked of a template alone, without a run.

// Renderer runs a program that renders pages: it reads a request from stdin and answers
// on stdout.
type Renderer = render.Renderer

// ServePongo2 is the program of a Renderer for pongo2: it renders one request, and ends
// the process if that takes too much memory.
func ServePongo2(stdin io.Reader, stdout io.Writer) error { return pongo2.Serve(stdin, stdout) }

// SandboxRenderer renders each request by Jinja2 in a sandbox of its own.
type SandboxRenderer struct{ Executor }

// Render makes a sandbox, has it render, and closes it.
func (s SandboxRenderer) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	sandbox, err := s.Start(ctx, Spec{Run: "render"})
	if err != nil {
		return err
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, sandbox.Close(cleanup))
	}()
	return sandbox.Render(ctx, stdin, stdout, stderr)
}

// Page says what RenderPage renders.
type Page struct {
	Template string            // its path among Files
	Files    map[string][]byte // what it may use
	Includes []string          // folders among Files whose templates need no folder's name
	Output   []byte            // output.json
	Language string
	Strict   bool // an undefined name is an error
}

// RenderPage renders one page. The error is a *Failure where the template or the data is
// to blame.
func RenderPage(ctx context.Context, renderer Renderer, p Page) (page []byte, warnings []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, renderTimeout)
	defer cancel()
	result, err := render.Pages(ctx, renderer, render.Request{
		Template: p.Template, Files: p.Files, Includes: p.Includes, Strict: p.Strict,
		Executions: []render.Execution{{Output: p.Output, Languages: []string{p.Language}}},
	})
	if err != nil {
		return nil, nil, fitError(renderFailure(err, renderTimeout))
	}
	return result.Pages[p.Language], fitWarnings(result.Warnings), nil
}

// ReadTemplate has a renderer read a bundle's template, and what that names, but render no
// page: what only the engine finds wrong is a *Failure.
func ReadTemplate(ctx context.Context, renderer Renderer, bundle *report.Bundle) error {
	ctx, cancel := context.WithTimeout(ctx, renderTimeout)
	defer cancel()
	_, err := render.Pages(ctx, renderer, render.Request{Template: bundle.Template, Files: bundle.Files, Includes: bundle.Includes})
	if err != nil {
		return fitError(renderFailure(err, renderTimeout))
	}
	return nil
}
