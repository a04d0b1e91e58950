package report

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"nbpress/internal/strict"
	"nbpress/runner/internal/template"
)

// templates are the templates of a bundle that the page is made of, by their paths.
type templates map[string]template.Template

// templateFolders finds templates as the renderer does: by their paths among the
// bundle's files, else in the include folders.
type templateFolders struct {
	files    map[string][]byte
	includes []string
}

// find returns the path of a template that is named in another one, "" for none.
func (f templateFolders) find(name string) string {
	for _, folder := range append([]string{""}, f.includes...) {
		file := path.Join(folder, name)
		if _, ok := f.files[file]; ok && fs.ValidPath(name) {
			return file
		}
	}
	return ""
}

// reach reads a template and all that it includes, imports or extends. Where names are
// made while rendering, every template of the bundle counts.
func (f templateFolders) reach(first string, engine template.Engine) templates {
	found := templates{}
	todo := []string{first}
	for len(todo) > 0 {
		file := todo[0]
		todo = todo[1:]
		if _, ok := found[file]; ok {
			continue
		}
		t := template.Parse(string(f.files[file]), engine)
		found[file] = t
		for _, use := range t.Uses {
			if file := f.find(use.Name); file != "" {
				todo = append(todo, file)
			}
		}
		if t.Dynamic {
			todo = append(todo, f.all()...)
		}
	}
	return found
}

// all returns the files that are templates by their names.
func (f templateFolders) all() []string {
	var all []string
	for file := range f.files {
		switch path.Ext(file) {
		case ".html", ".htm", ".xml", ".jinja", ".jinja2", ".j2":
			all = append(all, file)
		}
	}
	slices.Sort(all)
	return all
}

// checkTemplates looks whether the templates are there, are text, and close their tags.
func (l *loader) checkTemplates() {
	if _, ok := l.need(TemplateFile, "add the Jinja2 template of the page"); !ok {
		return
	}
	folders := templateFolders{l.options.Defaults.beside(l.bundle.Files), l.bundle.Includes}
	l.templates = folders.reach(TemplateFile, template.Engine(l.bundle.Config.Engine))
	l.bundle.Templates = sortedKeys(l.templates)
	for _, file := range l.bundle.Templates {
		if at, what := textProblem(file, folders.files[file]); what != "" {
			l.problem(l.inTemplate(file, at.Line, at.Column), what, "save it as UTF-8")
			continue
		}
		if !escapes(file) && bytes.Contains(folders.files[file], []byte("{{")) && l.bundle.Config.Engine == EngineJinja2 {
			l.bundle.Warnings = append(l.bundle.Warnings, file+" prints its values without autoescape, as Jinja2 does but in .html, .htm and .xml; give it such a name")
		}
		for _, p := range l.templates[file].Problems {
			l.problem(l.inTemplate(file, p.Line, p.Column), p.What, p.Do)
		}
		for _, use := range l.templates[file].Uses {
			if folders.find(use.Name) == "" && !use.Optional {
				l.problem(l.inTemplate(file, use.Line, use.Column), fmt.Sprintf("%q is no file of the bundle", use.Name), folders.like(use.Name))
			}
		}
	}
}

// escapes reports whether Jinja2 escapes what a template prints: by its name, as
// https://jinja.palletsprojects.com/en/stable/api/#jinja2.select_autoescape has it.
func escapes(file string) bool {
	switch strings.ToLower(path.Ext(file)) {
	case ".html", ".htm", ".xml":
		return true
	}
	return false
}

// like says which file may have been meant.
func (f templateFolders) like(name string) string {
	for _, file := range f.all() {
		if path.Base(file) == path.Base(name) && file != TemplateFile {
			return fmt.Sprintf("did you mean %q?", file)
		}
	}
	return ""
}

// inTemplate is a place in a template: in the report's folder, or in an include folder.
func (l *loader) inTemplate(file string, line, column int) strict.Position {
	at := strict.Position{File: file, Line: line, Column: column}
	if _, own := l.bundle.Files[file]; own {
		at.File = l.path(file)
	}
	return at
}
