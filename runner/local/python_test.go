package local

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestKernelPython_IsToldByItsFilesAndNeedsNoJinja2(t *testing.T) {
	tests := []struct {
		name    string
		modules []string
		want    error
	}{
		{"with ipykernel", []string{"ipykernel"}, nil},
		{"without", []string{"jinja2"}, ErrNoPython},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("PYTHONPATH", "")
			venv := t.TempDir()
			python := filepath.Join(venv, "bin", "python")
			files := map[string]string{
				python:                            "#!/bin/sh\nexit 1\n", // whoever asks it gets no answer
				filepath.Join(venv, "pyvenv.cfg"): "home = /nowhere\nversion = 3.11.7\n",
			}
			for _, name := range test.modules {
				files[filepath.Join(venv, "lib", "python3.11", "site-packages", name, "__init__.py")] = ""
			}
			for path, content := range files {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			got, err := kernelPython(t.Context(), python)
			if !errors.Is(err, test.want) || err == nil && got != python {
				t.Errorf("got %q, %v, want %q, %v", got, err, python, test.want)
			}
		})
	}
}
