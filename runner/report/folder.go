package report

import (
	"io/fs"
	"maps"

	"nbpress/internal/strict"
)

// Folder returns what the work folder of a bundle in folder name would hold, whether
// or not it is one: its files, and those that the repository's defaults include.
func Folder(fsys fs.FS, name string, d *Defaults) (map[string][]byte, []strict.Problem) {
	own, problems := readTree(fsys, name)
	files := map[string][]byte{}
	if d != nil {
		maps.Copy(files, d.files)
	}
	maps.Copy(files, own)
	return files, problems
}
