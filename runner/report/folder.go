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
	return d.beside(own), problems
}

// beside returns a bundle's files with the included ones beside them; where both have
// the same path, the bundle's. A nil Defaults includes none.
func (d *Defaults) beside(own map[string][]byte) map[string][]byte {
	if d == nil {
		return own
	}
	files := make(map[string][]byte, len(d.files)+len(own))
	maps.Copy(files, d.files)
	maps.Copy(files, own)
	return files
}
