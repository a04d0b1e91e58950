package pongo2

import (
	"fmt"
	"slices"

	"nbpress/runner/internal/render"
	"nbpress/runner/internal/template"
)

// reference is a name that a template expects of the data.
type reference struct {
	path []string
	file string
	line int
}

// references lists the names that the templates of a page expect.
func references(request render.Request) []reference {
	var all []reference
	var visited []string
	for todo := []string{request.Template}; len(todo) > 0; todo = todo[1:] {
		file := loader{request}.Abs("", todo[0])
		if slices.Contains(visited, file) {
			continue
		}
		visited = append(visited, file)
		t := template.Parse(string(request.Files[file]), template.Pongo2)
		for _, name := range t.Names {
			all = append(all, reference{name.Path, file, name.Line})
		}
		for _, use := range t.Uses {
			todo = append(todo, use.Name)
		}
	}
	return all
}

// missing says what of the name the data does not have; "" where it has all.
func (r reference) missing(data map[string]any) string {
	value, ok := data[r.path[0]]
	if !ok {
		return fmt.Sprintf("'%s' is undefined", r.path[0])
	}
	for i, key := range r.path[1:] {
		object, isObject := value.(map[string]any)
		if !isObject {
			return "" // of other values only pongo2 knows what there is
		}
		if value, ok = object[key]; !ok {
			return fmt.Sprintf("'%s' has no '%s'", r.path[i], key)
		}
	}
	return ""
}
