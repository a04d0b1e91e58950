package architecture

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// budget is how large things may grow.
type budget struct {
	functionLines    int // of functions that are no tests
	fileLines        int // of files that are no tests
	interfaceMethods int // named in the interface itself; embedded ones count where they are declared
}

// shapeRules are the rules on the code itself.
func shapeRules(max budget) []rule {
	return []rule{
		{
			name: "package comment", find: undocumented,
			why: "a stranger starts there: what the package is, its life cycle, its guarantees",
			do:  "write one, in doc.go or the main file, and in one file only",
		},
		{
			name: "names are documented", find: undocumentedNames,
			why: "who calls it should not need to open its body: meaning, units, errors, who may call when",
			do:  "say it in a comment that begins with the name, or write the name small",
		},
		{
			name: "package names", find: drawers,
			why: "a package named for nothing collects everything",
			do:  "put each thing beside its owner",
		},
		{
			name: "no init", find: inits,
			why: "code that runs because it was imported cannot be passed anything, skipped or tested",
			do:  "call it from main, or make it a func of the value that needs it",
		},
		{
			name: "no mutable globals", find: globals,
			why: "two agents in one process, or two tests, would share it",
			do:  "make it a const, an array, a func that returns it, or a field of the type that uses it",
		},
		{
			name: "functions are short", find: func(s *source) []finding { return longFunctions(s, max.functionLines) },
			why: "a page is what a reader can hold",
			do:  "find the step in it that has a name, and give it one",
		},
		{
			name: "files are short", find: func(s *source) []finding { return longFiles(s, max.fileLines) },
			why: "a file holds one idea; two ideas in it hide each other",
			do:  "split it along its ideas, not in the middle",
		},
		{
			name: "interfaces are small", find: func(s *source) []finding { return wideInterfaces(s, max.interfaceMethods) },
			why: "whoever implements it, fakes included, must do all of it",
			do:  "declare at the caller the methods that it calls; find optional ones by assertion",
			except: map[string]string{
				"runner.Sandbox": "the seam between the engines: an attempt's whole life, in one contract",
			},
		},
		{
			name: "contexts are passed", find: storedContexts,
			why: "a stored context outlives or underlives the call that it was made for",
			do:  "make it the first parameter; wait for goroutines in a Run(ctx) that blocks",
		},
		{
			name: "no panic", find: panics,
			why: "one bad notebook must not end the agent and everybody's runs",
			do:  "return an error; a broken invariant may panic and stands in this rule's list with its reason",
			except: map[string]string{
				"cmd/nbpress.logger":           "the schema lists the levels",
				"internal/strict.ParseBytes":   "the last unit fits every text",
				"runner/internal/pongo2.Write": "pongo2 goes on after an error of its writer; page recovers this",
				"runner/internal/jupyter.File": "strings and numbers always encode",
				"runner/report.mustCompile":    "the schemas are embedded, and every test compiles them",
			},
		},
		{
			name: "no sleeping", find: sleeps,
			why: "a sleep in a test is a race with the machine; in the product, a wait that no context can end",
			do:  "wait for the event itself; for time, testing/synctest in tests, a timer and ctx.Done elsewhere",
			except: map[string]string{
				"runner/local/group_unix.go": "nothing tells of the end of a process group; the wait is bounded",
			},
		},
		{
			name: "environment at the door", find: environment,
			why: "what a package depends on shows in its arguments; only cmd/nbpress knows environment and arguments, and ends the process",
			do:  "pass the value in; return an error instead of ending the process",
			except: map[string]string{
				"runner/internal/pongo2.endOverLimit os.Exit":   "a page that takes all memory cannot be ended but with its process, which does nothing else",
				"runner/local.Init os.Exit":                     "it is the whole process, PID 1 of a sandbox, and ends with the agent",
				"runner/local.enter os.Chdir":                   "pivot_root wants it, in that process of its own",
				"runner/local.StartKernel os.Environ":           "nbpress execute runs the notebook as its user, in their environment",
				"runner/local.StartSpec os.Environ":             "as StartKernel",
				"runner/local.kernelPython os.LookupEnv":        "as StartKernel, whose Python it finds",
				"internal/testenv.Python os.Getenv":             "a machine without .venv names its Python so",
				"internal/testenv/browser.chromium os.Getenv":   "a machine whose Chromium has another name says so",
				"internal/testenv.HeedSignals os/signal.Notify": "tests' programs must not inherit what the tests are to ignore",
			},
		},
		{
			name: "errors say what was done", find: failedTo,
			why: "in a chain of wrapped errors \"failed to\" says in every link what the reader knows",
			do:  "say what was being done, to what: \"fetch main: %w\"",
		},
	}
}

func undocumented(src *source) []finding {
	documented := map[string]int{}
	first := map[string]*file{}
	for _, f := range src.code() {
		if first[f.dir] == nil {
			first[f.dir] = f
		}
		if f.syntax.Doc != nil {
			documented[f.dir]++
		}
	}
	var found []finding
	for dir, f := range first {
		if n := documented[dir]; n != 1 {
			found = append(found, finding{f.syntax.Name.Pos(), dir, fmt.Sprintf("package %s has %d package comments, want 1", dir, n)})
		}
	}
	return found
}

func undocumentedNames(src *source) []finding {
	var found []finding
	missing := func(f *file, name *ast.Ident, docs ...*ast.CommentGroup) {
		if name.IsExported() && !slices.ContainsFunc(docs, func(d *ast.CommentGroup) bool { return d != nil }) {
			found = append(found, finding{name.Pos(), f.dir + "." + name.Name, name.Name + " has no comment"})
		}
	}
	for _, f := range src.code() {
		for _, d := range f.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				wellKnown := d.Recv != nil && (d.Name.Name == "Error" || d.Name.Name == "String")
				if exportedReceiver(d) && !wellKnown {
					missing(f, d.Name, d.Doc)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						missing(f, s.Name, d.Doc, s.Doc, s.Comment)
					case *ast.ValueSpec:
						missing(f, s.Names[0], d.Doc, s.Doc, s.Comment)
					}
				}
			}
		}
	}
	return found
}

// exportedReceiver says whether a function is a method of an exported type, or none.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	e := d.Recv.List[0].Type
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if generic, ok := e.(*ast.IndexExpr); ok {
		e = generic.X
	}
	name, ok := e.(*ast.Ident)
	return ok && name.IsExported()
}

func drawers(src *source) []finding {
	var found []finding
	for _, f := range src.files {
		switch name := f.syntax.Name.Name; name {
		case "util", "utils", "common", "shared", "helpers", "misc", "types", "models", "base", "lib", "core", "manager", "errors", "constants":
			found = append(found, finding{f.syntax.Name.Pos(), f.dir, "a package named " + name})
		}
	}
	return found
}

func inits(src *source) []finding {
	var found []finding
	src.functions(func(f *file, d *ast.FuncDecl) {
		if d.Recv == nil && d.Name.Name == "init" {
			found = append(found, finding{d.Pos(), f.dir, "func init"})
		}
	})
	return found
}

// globals finds package variables that somebody could change, as far as their text
// tells: what may stay are errors, embedded files, compiled expressions, arrays and
// what is computed or done once.
func globals(src *source) []finding {
	var found []finding
	for _, f := range src.code() {
		for _, d := range f.syntax.Decls {
			group, ok := d.(*ast.GenDecl)
			if !ok || group.Tok != token.VAR {
				continue
			}
			for _, s := range group.Specs {
				spec := s.(*ast.ValueSpec)
				for i, name := range spec.Names {
					if name.Name != "_" && !embedded(group.Doc) && !embedded(spec.Doc) && !(i < len(spec.Values) && f.constant(spec.Values[i])) {
						found = append(found, finding{name.Pos(), f.dir + "." + name.Name, "package variable " + name.Name})
					}
				}
			}
		}
	}
	return found
}

// constant says whether nobody can change what an expression gives, by its look.
func (f *file) constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CallExpr:
		switch f.qualified(e.Fun) {
		case "errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer", "sync.OnceFunc", "sync.OnceValue", "sync.OnceValues":
			return true
		}
	case *ast.CompositeLit:
		array, ok := e.Type.(*ast.ArrayType)
		return ok && array.Len != nil // a slice has none
	}
	return false
}

func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

func longFunctions(src *source, max int) []finding {
	var found []finding
	src.functions(func(f *file, d *ast.FuncDecl) {
		if n := src.lines(d); n > max && !f.test {
			found = append(found, finding{d.Pos(), f.dir + "." + d.Name.Name, fmt.Sprintf("%s is %d lines long, more than %d", d.Name.Name, n, max)})
		}
	})
	return found
}

func longFiles(src *source, max int) []finding {
	var found []finding
	for _, f := range src.code() {
		if n := src.fset.File(f.syntax.FileStart).LineCount(); n > max {
			found = append(found, finding{f.syntax.Name.Pos(), f.path, fmt.Sprintf("%d lines, more than %d", n, max)})
		}
	}
	return found
}

func wideInterfaces(src *source, max int) []finding {
	var found []finding
	src.inspect(func(f *file, n ast.Node) {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return
		}
		declared, ok := spec.Type.(*ast.InterfaceType)
		if !ok {
			return
		}
		methods := 0
		for _, m := range declared.Methods.List {
			methods += len(m.Names) // an embedded interface has none
		}
		if methods > max {
			found = append(found, finding{spec.Pos(), f.dir + "." + spec.Name.Name, fmt.Sprintf("interface %s has %d methods, more than %d", spec.Name.Name, methods, max)})
		}
	})
	return found
}

func storedContexts(src *source) []finding {
	var found []finding
	src.inspect(func(f *file, n ast.Node) {
		switch n := n.(type) {
		case *ast.StructType:
			for _, field := range n.Fields.List {
				if f.qualified(field.Type) == "context.Context" {
					found = append(found, finding{field.Pos(), f.path, "a struct with a context"})
				}
			}
		case *ast.FuncType:
			for i, field := range n.Params.List {
				if i > 0 && f.qualified(field.Type) == "context.Context" && !f.takesTest(n.Params.List[0]) {
					found = append(found, finding{field.Pos(), f.path, "a context that is not the first parameter"})
				}
			}
		}
	})
	return found
}

// takesTest says whether a parameter is the test itself, which goes before all.
func (f *file) takesTest(field *ast.Field) bool {
	e := field.Type
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	return strings.HasPrefix(f.qualified(e), "testing.")
}

func panics(src *source) []finding {
	var found []finding
	src.functions(func(f *file, d *ast.FuncDecl) {
		if f.test || matches(f.dir, beside) {
			return
		}
		ast.Inspect(d, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "panic" {
					found = append(found, finding{call.Pos(), f.dir + "." + d.Name.Name, "panic in " + d.Name.Name})
				}
			}
			return true
		})
	})
	return found
}

// sleeps finds time.Sleep outside of synctest's bubbles, where it takes no time.
func sleeps(src *source) []finding {
	var found []finding
	for _, f := range src.files {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch f.qualified(call.Fun) {
			case "testing/synctest.Test":
				return false
			case "time.Sleep":
				found = append(found, finding{call.Pos(), f.path, "time.Sleep"})
			}
			return true
		})
	}
	return found
}

func environment(src *source) []finding {
	var found []finding
	src.functions(func(f *file, d *ast.FuncDecl) {
		if f.test || f.syntax.Name.Name == "main" {
			return
		}
		ast.Inspect(d, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			switch name := f.qualified(e); name {
			case "os.Getenv", "os.LookupEnv", "os.Environ", "os.Setenv", "os.Args", "os.Exit", "os.Chdir", "os/signal.Notify", "os/signal.NotifyContext":
				found = append(found, finding{e.Pos(), f.dir + "." + d.Name.Name + " " + name, d.Name.Name + " uses " + name})
			}
			return true
		})
	})
	return found
}

func failedTo(src *source) []finding {
	var found []finding
	src.inspect(func(f *file, n ast.Node) {
		if text, ok := n.(*ast.BasicLit); ok && !f.test && text.Kind == token.STRING && strings.Contains(strings.ToLower(text.Value), "failed to ") {
			found = append(found, finding{text.Pos(), f.path, "a text that says \"failed to\""})
		}
	})
	return found
}

// functions calls visit for every function and method.
func (s *source) functions(visit func(*file, *ast.FuncDecl)) {
	for _, f := range s.files {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				visit(f, fn)
			}
		}
	}
}

// inspect calls visit for every node of every file.
func (s *source) inspect(visit func(*file, ast.Node)) {
	for _, f := range s.files {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if n != nil {
				visit(f, n)
			}
			return true
		})
	}
}
