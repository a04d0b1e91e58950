package report

import (
	"io/fs"

	"nbpress/internal/strict"
)

// Defaults is nbpress.json.
type Defaults struct{}

// Find returns the folders that hold a config.json.
func Find(fsys fs.FS) ([]string, error) { return nil, nil }

// LoadDefaults reads nbpress.json at the root of fsys.
func LoadDefaults(fsys fs.FS) (*Defaults, []strict.Problem) { return nil, nil }

func load(fsys fs.FS, name string, o Options) (*Bundle, []strict.Problem) {
	return nil, []strict.Problem{{File: name, Line: 1, Column: 1, What: "not loaded yet"}}
}
