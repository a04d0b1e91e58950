package kernelspec

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nbpress/internal/strict"
)

// nativeKernel is the name of the kernel of the environment's own Python, which is there
// wherever ipykernel is.
const nativeKernel = "python3"

// List returns the kernels in dirs by name, and those of the environment. An error joins
// what is wrong with the kernels that are missing from the list.
func List(e Environment, dirs []string) ([]Spec, error) {
	places, err := places(dirs)
	var specs []Spec
	for _, name := range slices.Sorted(maps.Keys(places)) {
		spec, readErr := readSpec(name, places[name], e)
		if readErr != nil {
			err = errors.Join(err, readErr)
			continue
		}
		specs = append(specs, spec)
	}
	if spec, ok := native(e); ok && places[nativeKernel] == "" {
		specs = append(specs, spec)
		slices.SortFunc(specs, func(a, b Spec) int { return strings.Compare(a.Name, b.Name) })
	}
	return specs, err
}

// Find returns the kernel of a name, upper and lower case being the same. Where there is
// none the error says which there are.
func Find(e Environment, dirs []string, name string) (Spec, error) {
	wanted := strings.ToLower(name)
	if wanted == "python" { // as Jupyter takes it
		wanted = nativeKernel
	}
	places, err := places(dirs)
	if dir, ok := places[wanted]; ok {
		spec, err := readSpec(wanted, dir, e)
		if err != nil {
			return Spec{}, fmt.Errorf("kernel %s cannot be used: %w", wanted, err)
		}
		return spec, nil
	}
	if spec, ok := native(e); ok {
		if wanted == nativeKernel {
			return spec, nil
		}
		places[nativeKernel] = spec.Dir
	}
	names := slices.Sorted(maps.Keys(places))
	if len(names) == 0 {
		return Spec{}, errors.Join(fmt.Errorf("no kernel %s: there is none at all in %s", strict.Quote(name), strings.Join(dirs, ", ")), err)
	}
	meant := ""
	if near := strict.Closest(wanted, names); near != "" {
		meant = fmt.Sprintf(" (did you mean %s?)", near)
	}
	return Spec{}, errors.Join(fmt.Errorf("no kernel %s%s; there are: %s", strict.Quote(name), meant, strings.Join(names, ", ")), err)
}

// places returns the folder of each kernel. Of two with one name the one in the earlier
// folder counts, also where it turns out to be broken.
func places(dirs []string) (map[string]string, error) {
	places := map[string]string{}
	var errs []error
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
				errs = append(errs, err)
			}
		}
		for _, entry := range entries {
			name, path := strings.ToLower(entry.Name()), filepath.Join(dir, entry.Name())
			if info, err := os.Stat(filepath.Join(path, "kernel.json")); err != nil || !info.Mode().IsRegular() {
				continue
			}
			if places[name] == "" {
				places[name] = path
			}
		}
	}
	return places, errors.Join(errs...)
}

// native returns the kernel of the environment's own Python.
func native(e Environment) (Spec, bool) {
	ipykernel := e.module("ipykernel")
	if ipykernel == "" || e.Python == "" {
		return Spec{}, false
	}
	return Spec{
		Name: nativeKernel, Dir: filepath.Join(ipykernel, "resources"),
		Argv:        []string{e.Python, "-m", "ipykernel_launcher", "-f", "{connection_file}"},
		DisplayName: "Python 3 (ipykernel)", Language: "python", Interrupt: BySignal,
		environment: e,
	}, true
}
