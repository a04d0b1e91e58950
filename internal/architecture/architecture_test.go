package architecture

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"nbpress/internal/testenv"
)

func TestTree_KeepsTheRules(t *testing.T) {
	src, err := load(os.DirFS(testenv.Root(t)))
	if err != nil {
		t.Fatal(err)
	}
	if len(src.files) == 0 {
		t.Fatal("no Go files found: the rules would hold of nothing")
	}
	rules := slices.Concat(importRules(), shapeRules(budget{functionLines: 80, fileLines: 500, interfaceMethods: 3}))
	for _, b := range check(src, rules) {
		t.Error(b)
	}
}

// TestRules_FindWhatBreaksThem proves each rule on a tree that breaks it, at the lines
// that say so: `// breaks: name of the rule`.
func TestRules_FindWhatBreaksThem(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/broken.txtar")
	if err != nil {
		t.Fatal(err)
	}
	broken, err := txtar.FS(archive)
	if err != nil {
		t.Fatal(err)
	}
	src, err := load(broken)
	if err != nil {
		t.Fatal(err)
	}
	rules := slices.Concat(importRules(), shapeRules(budget{functionLines: 7, fileLines: 60, interfaceMethods: 3}))
	var got []string
	for i := range rules {
		rules[i].except = nil
	}
	for _, b := range check(src, rules) {
		got = append(got, fmt.Sprintf("%s:%d: %s", b.file, b.line, b.rule.name))
	}
	slices.Sort(got)
	want := marked(t, broken)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("breaches (-want +got):\n%s", diff)
	}
	for _, r := range rules {
		if !slices.ContainsFunc(want, func(line string) bool { return strings.HasSuffix(line, ": "+r.name) }) {
			t.Errorf("nothing in testdata/broken.txtar breaks the rule %q", r.name)
		}
	}
}

func TestCheck_ReportsExceptionsThatServeNothing(t *testing.T) {
	src, err := load(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	breaches := check(src, []rule{{name: "any", find: inits, except: map[string]string{"gone": "it was there once"}}})
	if len(breaches) != 1 || !strings.Contains(breaches[0].String(), "exception for gone serves nothing") {
		t.Errorf("breaches %v, want one about the exception", breaches)
	}
}

// marked returns "file:line: rule" for every mark in a tree.
func marked(t *testing.T, tree fs.FS) []string {
	t.Helper()
	var marks []string
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(tree, name)
		for i, line := range strings.Split(string(text), "\n") {
			if _, names, ok := strings.Cut(line, "// breaks: "); ok {
				for rule := range strings.SplitSeq(names, ", ") {
					marks = append(marks, fmt.Sprintf("%s:%d: %s", name, i+1, rule))
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(marks)
	return marks
}
