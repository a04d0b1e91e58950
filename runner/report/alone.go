package report

import (
	"io/fs"
	"path"
	"strings"

	"nbpress/internal/catalog"
	"nbpress/internal/strict"
	"nbpress/runner/internal/template"
)

// Page is what one template needs to be rendered without a report.
type Page struct {
	Files    map[string][]byte
	Includes []string
	Warnings []string
}

// LoadPage reads a template of folder name, and what it needs: the templates that it
// includes, or the whole folder where it makes their names itself, and the catalogs of a
// language. Problems are those of files that it needs.
func LoadPage(fsys fs.FS, name, first, engine, language string, d *Defaults) (Page, []strict.Problem) {
	page := Page{Files: d.beside(map[string][]byte{})}
	if d != nil {
		page.Includes = d.folders()
	}
	var problems []strict.Problem
	add := func(file string, needed bool) {
		if linked(fsys, name, file) {
			problems = append(problems, whole(path.Join(name, file)).Problem("a symbolic link", "put the file itself here"))
			return
		}
		switch data, err := readLimited(fsys, path.Join(name, file)); {
		case err == nil:
			page.Files[file] = data
		case needed:
			problems = append(problems, whole(path.Join(name, file)).Problem(plainError(err), ""))
		}
	}
	add(first, true)
	folders := templateFolders{page.Files, page.Includes}
	visited := map[string]bool{}
	for todo := []string{first}; len(todo) > 0; todo = todo[1:] {
		if visited[todo[0]] {
			continue
		}
		visited[todo[0]] = true
		t := template.Parse(string(page.Files[todo[0]]), template.Engine(engine))
		if t.Dynamic {
			own, more := readTree(fsys, name)
			page.Files = d.beside(own)
			return page, append(problems, more...)
		}
		for _, use := range t.Uses {
			if fs.ValidPath(use.Name) {
				add(use.Name, false) // Jinja2 says that it is missing
			}
			if file := folders.find(use.Name); file != "" {
				todo = append(todo, file)
			}
		}
	}
	for _, code := range catalog.Fallbacks(language) {
		add(catalogPath(code, "mo"), false)
		add(catalogPath(code, "po"), false)
	}
	return page, problems
}

// Catalogs takes the catalogs that translate a page in a language from another folder.
func (p *Page) Catalogs(folder fs.FS, language string) {
	for _, code := range catalog.Fallbacks(language) {
		for _, kind := range []string{"mo", "po"} {
			file := catalogPath(code, kind)
			delete(p.Files, file)
			if data, err := readLimited(folder, strings.TrimPrefix(file, "languages/")); err == nil {
				p.Files[file] = data
			}
		}
	}
}

// Compile compiles the catalogs that translate a page in a language, where they are
// missing or old.
func (p *Page) Compile(language string) []strict.Problem {
	var problems []strict.Problem
	for _, code := range catalog.Fallbacks(language) {
		_, warning, more := readCatalogs(p.Files, code)
		problems = append(problems, more...)
		if warning != "" {
			p.Warnings = append(p.Warnings, warning)
		}
	}
	return problems
}
