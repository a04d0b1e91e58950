package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"nbpress/runner"
	"nbpress/runner/local"
	"nbpress/runner/local/kernelspec"
)

// kernelChoice is the kernel that a notebook gets: an interpreter with nbpress's own
// launcher, or an installed kernel as it is.
type kernelChoice struct {
	python    string
	installed *kernelspec.Spec // nil: python
	language  string
}

func (k kernelChoice) start(ctx context.Context, dir string) (*local.Kernel, error) {
	if k.installed != nil {
		return local.StartSpec(ctx, *k.installed, dir)
	}
	kernel, err := local.StartKernel(ctx, k.python, dir)
	if errors.Is(err, local.ErrNoPython) { // it need not have all that reports need
		err = wrongUse(fmt.Errorf("%v; install ipykernel there (python -m pip install ipykernel), or name another one with --python", err))
	}
	return kernel, err
}

// spec is what a notebook says of an installed kernel.
func (k kernelChoice) spec() runner.Kernelspec {
	return runner.Kernelspec{Name: k.installed.Name, DisplayName: k.installed.DisplayName, Language: k.installed.Language}
}

// chooseKernel returns the kernel that was asked for, else the one that the notebook
// names. A notebook in Python runs in any Python: notes say so where it is not the one
// that it was written with.
func (f executeFlags) chooseKernel(ctx context.Context, named runner.Kernelspec) (_ kernelChoice, notes []string, err error) {
	choice := kernelChoice{python: choosePython(f.python), language: "python"}
	name := named.Name
	plain := name == "" || name == "python3" || name == "python" // as every Jupyter has it
	inPython := strings.EqualFold(named.Language, "python") || named.Language == "" && plain
	switch {
	case f.kernel != "":
		name = f.kernel
	case f.python != "":
		return choice, nil, nil
	case name == "" && !inPython:
		return choice, nil, fmt.Errorf("the notebook is in %s and names no kernel; name one with --kernel", named.Language)
	}
	name = cmp.Or(name, "python3")
	spec, err := findKernel(ctx, name)
	switch {
	case err != nil && (f.kernel != "" || !inPython):
		return choice, nil, fmt.Errorf("%w; install it, or name another one with --kernel", err)
	case err != nil && plain:
		return choice, nil, nil
	case err != nil:
		note := fmt.Sprintf("the notebook's kernel %q is not to be had here: it runs in %s", name, choice.python)
		return choice, []string{note}, nil
	case f.kernel != "" || !strings.EqualFold(spec.Language, "python"):
		return kernelChoice{installed: &spec, language: spec.Language}, nil, nil
	}
	python, ok := spec.IPython()
	if !ok {
		note := fmt.Sprintf("the notebook's kernel %q has settings of its own, which --kernel %s would use: it runs in %s", name, name, choice.python)
		return choice, []string{note}, nil
	}
	if !plain {
		choice.python = python
	}
	return choice, nil, nil
}

// findKernel finds an installed kernel, among those of the chosen Python, too.
func findKernel(ctx context.Context, name string) (kernelspec.Spec, error) {
	python := choosePython("")
	if filepath.Base(python) == python {
		python = "" // there need not be one
	}
	environment, err := local.FindEnvironment(ctx, python, os.LookupEnv)
	if err != nil {
		return kernelspec.Spec{}, err
	}
	return kernelspec.Find(environment, kernelspec.Dirs(environment, os.LookupEnv), name)
}
