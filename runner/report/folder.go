package report

import (
	"maps"
	"strings"
)

// folders are the include folders' paths.
func (d *Defaults) folders() []string {
	var folders []string
	for _, folder := range d.Include {
		folders = append(folders, strings.TrimSuffix(folder, "/"))
	}
	return folders
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
