package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"nbpress/runner/local/kernelspec"
)

// interpreter is what New found out about a Python.
type interpreter struct {
	Executable string
	Folders    []string // all that it reads modules from, and its prefixes
	Versions   map[string]string
}

// The distributions that a kernel and, with the second, a report cannot do without.
const (
	ipykernel = "ipykernel"
	jinja2    = "Jinja2"
)

// probeScript looks for packages as importlib.metadata does, which takes longer to import
// than all the rest.
const probeScript = `
import json, os, sys
wanted = {name.lower().replace("-", "_"): name for name in sys.argv[1:]}
versions = {}
for folder in sys.path:
    for entry in os.listdir(folder) if os.path.isdir(folder) else ():
        stem, _, kind = entry.rpartition(".")
        name, _, version = stem.partition("-")
        name = wanted.get(name.lower().replace("-", "_"))
        if kind in ("dist-info", "egg-info") and name:
            versions.setdefault(name, version.partition("-")[0] or "unknown")
folders = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
folders.update(p for p in sys.path if os.path.isdir(p))
print(json.dumps({"Executable": sys.executable, "Folders": sorted(folders), "Versions": versions}))
`

// findPython asks an interpreter what it is and has of what is needed.
func findPython(ctx context.Context, python string, needed ...string) (interpreter, error) {
	if python == "" {
		python = "python3"
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	args := append([]string{"-I", "-c", probeScript}, needed...)
	cmd := exec.CommandContext(ctx, python, args...)
	cmd.WaitDelay = pipeGrace
	out, err := cmd.Output()
	if err != nil {
		return interpreter{}, fmt.Errorf("%w: run %s: %w%s", ErrNoPython, python, err, lastWords(err))
	}
	var found interpreter
	if err := json.Unmarshal(out, &found); err != nil {
		return interpreter{}, fmt.Errorf("%w: %s answers %q", ErrNoPython, python, out)
	}
	for _, name := range needed {
		if found.Versions[name] == "" {
			return interpreter{}, fmt.Errorf("%w: %s has no %s", ErrNoPython, found.Executable, name)
		}
	}
	return found, nil
}

// kernelPython returns the path of an interpreter that has ipykernel. To ask it takes as
// long as a third of starting a kernel, so its files are asked first.
func kernelPython(ctx context.Context, python string) (string, error) {
	if path, err := exec.LookPath(cmp.Or(python, "python3")); err == nil {
		if environment, err := kernelspec.EnvironmentOf(path, os.LookupEnv); err == nil {
			if spec, err := kernelspec.Find(environment, nil, "python3"); err == nil {
				return spec.Argv[0], nil
			}
		}
	}
	found, err := findPython(ctx, python, ipykernel)
	return found.Executable, err
}

// lastWords returns the last line that a program wrote to its standard error.
func lastWords(err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return ""
	}
	text := strings.TrimSpace(string(exit.Stderr))
	if text == "" {
		return ""
	}
	return ": " + text[strings.LastIndexByte(text, '\n')+1:]
}
