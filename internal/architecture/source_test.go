package architecture

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// source is the Go text of a module.
type source struct {
	fset  *token.FileSet
	files []*file
}

type file struct {
	path   string // slashes, from the module's root
	dir    string // "." is the root
	test   bool
	syntax *ast.File
}

// rule is something that all code keeps.
type rule struct {
	name    string
	why, do string
	find    func(*source) []finding
	except  map[string]string // what may break it, as finding.key says, and the reason
}

// finding is a place where a rule is broken.
type finding struct {
	pos  token.Pos
	key  string // what an exception would name it
	what string
}

// breach is a finding with its rule.
type breach struct {
	rule rule
	finding
	file string
	line int
}

func (b breach) String() string {
	return fmt.Sprintf("%s:%d: %s\n\trule: %s\n\twhy:  %s\n\tdo:   %s", b.file, b.line, b.what, b.rule.name, b.rule.why, b.rule.do)
}

// load parses all Go files below fsys's root, but those that Go ignores and what the
// build makes.
func load(fsys fs.FS) (*source, error) {
	src := &source{fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		ignored := name != "." && strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata"
		switch {
		case entry.IsDir() && (ignored || name == "build" || ownModule(fsys, name)):
			return fs.SkipDir
		case entry.IsDir() || ignored || path.Ext(name) != ".go":
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(src.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		src.files = append(src.files, &file{
			path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), syntax: syntax,
		})
		return nil
	})
	return src, err
}

// check returns all breaches of the rules. An exception that nothing needs any more is
// one as well.
func check(src *source, rules []rule) []breach {
	var breaches []breach
	for _, r := range rules {
		unused := map[string]bool{}
		for key := range r.except {
			unused[key] = true
		}
		for _, f := range r.find(src) {
			delete(unused, f.key)
			if r.except[f.key] != "" {
				continue
			}
			at := src.fset.Position(f.pos)
			breaches = append(breaches, breach{rule: r, finding: f, file: at.Filename, line: at.Line})
		}
		for key := range unused {
			breaches = append(breaches, breach{rule: r, finding: finding{what: "the rule's exception for " + key + " serves nothing"}, file: "internal/architecture"})
		}
	}
	slices.SortStableFunc(breaches, func(a, b breach) int {
		if c := strings.Compare(a.file, b.file); c != 0 {
			return c
		}
		return a.line - b.line
	})
	return breaches
}

// code returns the files that are no tests.
func (s *source) code() []*file {
	return slices.DeleteFunc(slices.Clone(s.files), func(f *file) bool { return f.test })
}

// lines counts the lines that a node spans.
func (s *source) lines(n ast.Node) int {
	return s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1
}

// imports calls f for every import of a file.
func (f *file) imports(visit func(path string, spec *ast.ImportSpec)) {
	for _, spec := range f.syntax.Imports {
		if name, err := strconv.Unquote(spec.Path.Value); err == nil {
			visit(name, spec)
		}
	}
}

// qualified returns "import/path.Name" for a selector of an imported package, "" for
// any other.
func (f *file) qualified(e ast.Expr) string {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	local, ok := selector.X.(*ast.Ident)
	if !ok {
		return ""
	}
	found := ""
	f.imports(func(imported string, spec *ast.ImportSpec) {
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == local.Name {
			found = imported + "." + selector.Sel.Name
		}
	})
	return found
}

// matches says whether a slash-separated name is one of the patterns; "x/..." is x and
// all below it, "..." is everything.
func matches(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, tree := strings.CutSuffix(pattern, "...")
		if !tree {
			return name == pattern
		}
		return prefix == "" || name == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(name, prefix)
	})
}

func TestMatches_FollowsGosPatterns(t *testing.T) {
	for _, tc := range []struct {
		name, pattern string
		want          bool
	}{
		{"runner", "runner", true},
		{"runner/local", "runner", false},
		{"runner", "runner/...", true},
		{"runner/local", "runner/...", true},
		{"runnertest", "runner/...", false},
		{"anything", "...", true},
	} {
		if got := matches(tc.name, []string{tc.pattern}); got != tc.want {
			t.Errorf("matches(%q, %q) = %v", tc.name, tc.pattern, got)
		}
	}
}

// ownModule reports whether a folder is a module of its own, which is built apart.
func ownModule(fsys fs.FS, folder string) bool {
	_, err := fs.Stat(fsys, path.Join(folder, "go.mod"))
	return err == nil && folder != "."
}
