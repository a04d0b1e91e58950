package runner

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"nbpress/runner/internal/notebook"
)

// This file holds what is asked of a notebook alone, without a report.

// Notebook is a notebook file that is to be executed alone.
type Notebook struct {
	name string
	file *notebook.Notebook
}

// Kernelspec is what a notebook says about the kernel that it was written for.
type Kernelspec = notebook.Kernelspec

// Parameter is a value for a name of a notebook: nil, a bool, a string, a
// json.Number, a list ([]any) or a mapping (Parameters).
type Parameter = notebook.Parameter

// Parameters are values in the order in which they were given.
type Parameters = notebook.Parameters

// ReadNotebook reads a notebook file. Errors begin with file:line:column.
func ReadNotebook(name string, data []byte) (*Notebook, error) {
	nb, err := notebook.Parse(data)
	var syntax *notebook.SyntaxError
	if errors.As(err, &syntax) {
		return nil, fmt.Errorf("%s:%d:%d: %s", name, syntax.Line, syntax.Column, syntax.Msg)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Notebook{name: name, file: nb}, nil
}

// Kernelspec returns what the notebook says about its kernel; parts may be empty.
func (n *Notebook) Kernelspec() Kernelspec { return n.file.Kernelspec() }

// SetKernelspec writes another kernel into the notebook.
func (n *Notebook) SetKernelspec(k Kernelspec) { n.file.SetKernelspec(k) }

// Sources returns the cells' sources.
func (n *Notebook) Sources() []string {
	sources := make([]string, len(n.file.Cells))
	for i, cell := range n.file.Cells {
		sources[i] = cell.Source
	}
	return sources
}

// Encode returns the notebook as a file.
func (n *Notebook) Encode() ([]byte, error) { return n.file.Encode() }

// ErrUnknownParameter is wrapped by Fill's errors about parameters that the notebook
// does not have.
var ErrUnknownParameter = errors.New("unknown parameter")

// ownNames are the $NAMEs that nbpress itself gives to reports: texts in any case.
var ownNames = [...]string{"ASSET_ID", "FROM_DAY", "TO_DAY", "LANGUAGE", "TOKEN", "RUN_ID", "SCHEDULED_AT"}

// IsOwnName reports whether nbpress gives reports a $NAME of this name. Its value is
// a text in any case.
func IsOwnName(name string) bool { return slices.Contains(ownNames[:], name) }

// Fill gives the notebook its parameters. Those whose $NAME stands in #Environment
// cells of a notebook in Python are returned as values, for CellsOptions. Those that
// the cell with the tag parameters assigns go into a cell behind it, unless it is such
// a cell and their $NAME stands in it. Any other is an error, or with allowUnknown goes
// there, too. Without parameters nothing changes.
func (n *Notebook) Fill(p Parameters, language string, allowUnknown bool) (values map[string]any, err error) {
	if len(p) == 0 {
		return nil, nil
	}
	var places, filled []string // $NAMEs of #Environment cells, and those of the cell with the defaults
	if inPython := strings.HasPrefix(strings.ToLower(language), "python"); inPython {
		values = map[string]any{}
		for _, parameter := range p {
			values[parameter.Name] = parameter.Value
		}
		if places, filled, err = n.places(values); err != nil {
			return nil, err
		}
	}
	defaults, found := n.file.Defaults(language)
	var injected Parameters
	var errs []error
	for _, parameter := range p {
		switch {
		case slices.Contains(defaults, parameter.Name) && !slices.Contains(filled, parameter.Name):
			injected = append(injected, parameter)
		case slices.Contains(places, parameter.Name):
		case allowUnknown:
			injected = append(injected, parameter)
		default:
			errs = append(errs, fmt.Errorf("%s: %w %s; %s", n.name, ErrUnknownParameter, parameter.Name, meant(parameter.Name, defaults, places, found)))
		}
	}
	if err := errors.Join(errs...); err != nil || len(injected) == 0 {
		return values, err
	}
	if err := n.file.Inject(injected, language); err != nil {
		return nil, fmt.Errorf("%s: %w", n.name, err)
	}
	return values, nil
}

// places returns the $NAMEs of the #Environment cells that are executed, and which of
// them stand in one with the tag parameters. The error names those that have no value.
func (n *Notebook) places(values notebook.Values) (names, filled []string, err error) {
	var errs []error
	for i, cell := range n.file.Cells {
		if !cell.Environment() || !cell.Executed() {
			continue
		}
		_, used, problems := notebook.Substitute(cell.Source, values)
		names = append(names, used...)
		if cell.HasTag("parameters") {
			filled = append(filled, used...)
		}
		for _, p := range problems {
			line, column := n.file.Position(i, p.Line)
			errs = append(errs, fmt.Errorf("%s:%d:%d: %s; %s", n.name, line, column, p.What, p.Do))
		}
	}
	return names, filled, errors.Join(errs...)
}

// meant says what a parameter that there is not may have been meant to be.
func meant(name string, defaults, places []string, tagged bool) string {
	known := slices.Concat(defaults, places)
	if closest := notebook.Closest(name, known); closest != "" {
		return "did you mean " + closest + "?"
	}
	switch {
	case len(known) > 0:
		return "it has " + strings.Join(known, ", ")
	case tagged:
		return "its cell with the tag parameters assigns nothing"
	}
	return "it has no cell with the tag parameters, nor its $" + name + " in an #Environment cell of a notebook in Python"
}
