package report

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"nbpress/internal/strict"
)

// Defaults is nbpress.json: what the reports of a repository share. It is not
// changed by Load and may be used by many calls at once.
type Defaults struct {
	// Include lists the folders that every report may use.
	Include []string

	text  []byte            // nbpress.json, checked
	files map[string][]byte // of the include folders, by their paths in the repository
}

// LoadDefaults reads nbpress.json at the root of fsys and the folders that it
// includes. It returns nil and no problems where there is no such file. Rules
// that need a whole config.json, such as that of the time zone, are left to Load,
// which reports them at their place in nbpress.json.
func LoadDefaults(fsys fs.FS) (*Defaults, []strict.Problem) {
	text, err := readLimited(fsys, DefaultsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []strict.Problem{whole(DefaultsFile).Problem(plainError(err), "")}
	}
	doc, problems := strict.ParseJSON(DefaultsFile, text)
	var file struct {
		Include  []string   `json:"include"`
		Defaults configFile `json:"defaults"`
	}
	doc.Expand("/defaults/schedule", "cron")
	problems = append(problems, doc.Into(defaultsSchema(), &file)...)

	d := &Defaults{Include: file.Include, text: text, files: map[string][]byte{}}
	for i, folder := range file.Include {
		if folder != "" {
			problems = append(problems, d.include(fsys, folder, doc.At(strict.Pointer("include", i)))...)
		}
	}
	if len(problems) > 0 {
		return nil, strict.Limit(problems, DefaultsFile)
	}
	return d, nil
}

// include reads one folder; at is where nbpress.json names it.
func (d *Defaults) include(fsys fs.FS, folder string, at strict.Position) []strict.Problem {
	name := strings.TrimSuffix(folder, "/")
	if what := checkFolderName(name); what != "" {
		return []strict.Problem{at.Problem(fmt.Sprintf("include %q: %s", folder, what), "name a folder of this repository such as \"common\"")}
	}
	info, err := fs.Stat(fsys, name)
	switch {
	case err != nil:
		return []strict.Problem{at.Problem(fmt.Sprintf("include %q: %s", folder, plainError(err)), "")}
	case !info.IsDir():
		return []strict.Problem{at.Problem(fmt.Sprintf("include %q is not a folder", folder), "")}
	}
	if _, err := fs.Stat(fsys, path.Join(name, ConfigFile)); err == nil {
		return []strict.Problem{at.Problem(fmt.Sprintf("include %q is a report", folder), "include folders without "+ConfigFile)}
	}
	files, problems := readTree(fsys, name)
	for file, data := range files {
		d.files[path.Join(name, file)] = data
	}
	return problems
}

func checkFolderName(name string) string {
	if !fs.ValidPath(name) || name == "." {
		return "not a path in this repository"
	}
	for part := range strings.SplitSeq(name, "/") {
		if !safeName.MatchString(part) {
			return fmt.Sprintf("%q is not a safe name (%s)", part, safeNameWords)
		}
	}
	return ""
}

// document parses nbpress.json anew, so that no two reports share one.
func (d *Defaults) document() *strict.Document {
	if d == nil {
		return nil
	}
	doc, _ := strict.ParseJSON(DefaultsFile, d.text)
	doc.Expand("/defaults/schedule", "cron")
	return doc
}
