package gitsync

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestTree_PassesFSTest(t *testing.T) {
	bare := newBare(t)
	files := map[string]string{
		"nbpress.json":                 "{}",
		"common/base.html":             "<html>",
		"weekly/config.json":           "{}",
		"weekly/report.ipynb":          strings.Repeat("x", 100_000),
		"weekly/languages/ca/messages": "",
		"weekly-b/config.json":         "{}",
		"a name with blanks é":         "ok",
	}
	push(t, bare, "main", "First", files)
	for folder, want := range map[string][]string{
		"":       {"nbpress.json", "common/base.html", "weekly/languages/ca/messages", "weekly-b/config.json", "a name with blanks é"},
		"weekly": {"config.json", "report.ipynb", "languages/ca/messages"},
	} {
		t.Run(folder, func(t *testing.T) {
			r := openRepository(t, Options{URL: bare, Path: folder})
			commit, _ := fetch(t, r)
			tree, err := r.Tree(commit)
			if err != nil {
				t.Fatal(err)
			}
			if err := fstest.TestFS(tree, want...); err != nil {
				t.Error(err)
			}
		})
	}
	r := openRepository(t, Options{URL: bare, Path: "absent"})
	commit, _ := fetch(t, r)
	if _, err := r.Tree(commit); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Tree() of an absent folder = %v", err)
	}
}

// hostile makes a commit with entries that git itself would not make.
func hostile(t *testing.T, bare string) {
	t.Helper()
	blob := execGitInput(t, bare, []byte("content"), "hash-object", "-w", "--stdin")
	raw := func(entries ...string) string {
		var tree []byte
		for _, e := range entries {
			mode, name, _ := strings.Cut(e, " ")
			name, hash, ok := strings.Cut(name, "=")
			if !ok {
				hash = blob
			}
			sum, _ := hex.DecodeString(hash)
			tree = append(fmt.Appendf(tree, "%s %s\x00", mode, name), sum...)
		}
		return execGitInput(t, bare, tree, "hash-object", "-w", "-t", "tree", "--literally", "--stdin")
	}
	good := raw("100644 config.json", "100755 run.sh")
	bad := raw("100644 .git", "100644 .GIT", "40000 git~1="+good, "100644 ..", "100644 a/b", `100644 a\b`, "100644 a\nb",
		"100644 \xff", "120000 link", "160000 sub", "100644 twice", "120000 twice", "100644 ok.txt")
	deep := raw("100644 bottom")
	for range 200 {
		deep = raw("40000 d=" + deep)
	}
	bomb := good
	for range 12 {
		var many []string
		for n := range 10 {
			many = append(many, fmt.Sprintf("40000 d%d=%s", n, bomb))
		}
		bomb = raw(many...)
	}
	root := raw("40000 bad="+bad, "40000 bomb="+bomb, "40000 deep="+deep, "40000 good="+good)
	execGit(t, bare, "update-ref", "refs/heads/main", execGit(t, bare, "commit-tree", "-m", "Hostile", root))
}

func TestTree_RefusesHostileEntriesOneByOne(t *testing.T) {
	bare := newBare(t)
	hostile(t, bare)
	r := openRepository(t, Options{URL: bare})
	commit, _ := fetch(t, r)
	tree, err := r.Tree(commit)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(must(fs.Sub(tree, "good")), "config.json", "run.sh"); err != nil {
		t.Errorf("the good bundle: %v", err)
	}

	got := map[string]string{}
	entries, err := fs.ReadDir(tree, "bad")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		_, err := fs.ReadFile(tree, "bad/"+e.Name())
		var pathError *fs.PathError
		switch {
		case err == nil:
			got[e.Name()] = "readable"
		case !errors.As(err, &pathError):
			t.Errorf("%s: %T is no *fs.PathError", e.Name(), err)
		case e.Type()&(fs.ModeSymlink|fs.ModeIrregular) == 0:
			t.Errorf("%s has type %v", e.Name(), e.Type())
		default:
			got[e.Name()] = pathError.Err.Error()
		}
	}
	want := map[string]string{
		"%2E2E":  `the name ".." leads out of its folder`,
		"%FF":    `the name "\xff" is not UTF-8`,
		".GIT":   `the name ".GIT" is Git's own`,
		".git":   `the name ".git" is Git's own`,
		"a%0Ab":  `the name "a\nb" holds a control character`,
		"a%2Fb":  `the name "a/b" holds a path separator`,
		"a%5Cb":  `the name "a\\b" holds a path separator`,
		"git~1":  `the name "git~1" is Git's own`,
		"link":   "symbolic links are not followed",
		"ok.txt": "readable",
		"sub":    "submodules are not fetched",
		"twice":  "the name is there twice",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}

	var shown []string
	for _, e := range must(fs.ReadDir(tree, ".")) {
		shown = append(shown, e.Type().String()+" "+e.Name())
	}
	if diff := cmp.Diff([]string{"d--------- bad", "?--------- bomb", "d--------- deep", "d--------- good"}, shown); diff != "" {
		t.Errorf("root (-want +got):\n%s", diff)
	}

	deepest := 0
	err = fs.WalkDir(tree, "deep", func(path string, d fs.DirEntry, err error) error {
		deepest = max(deepest, strings.Count(path, "/"))
		return err
	})
	if err != nil || deepest != maxDepth {
		t.Errorf("walking 200 folders in each other: %d deep, %v", deepest, err)
	}
}

func TestTree_RefusesFilesOverTheLimitUnread(t *testing.T) {
	bare := newBare(t)
	push(t, bare, "main", "First", map[string]string{"big": strings.Repeat("x", 1001), "fits": strings.Repeat("x", 1000)})
	r := openRepository(t, Options{URL: bare, MaxFile: 1000})
	commit, _ := fetch(t, r)
	tree, err := r.Tree(commit)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Open("big"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Open(big) = %v", err)
	}
	if info, err := fs.Stat(tree, "big"); err != nil || info.Size() != 1001 {
		t.Errorf("Stat(big) = %v, %v", info, err)
	}
	if _, err := fs.ReadFile(tree, "fits"); err != nil {
		t.Errorf("ReadFile(fits) = %v", err)
	}
}

func FuzzParseTree(f *testing.F) {
	hash := strings.Repeat("h", 20)
	for _, seed := range []string{"", "100644 a\x00" + hash, "40000 d\x00" + hash + "120000 l\x00" + hash, "100644 \x00" + hash,
		"x a\x00" + hash, "100644 a", "100644 a\x00short", "100644 ..\x00" + hash + "100644 ..\x00" + hash} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseTree(data)
		if err != nil {
			return
		}
		again, err := parseTree(encodeTree(entries))
		if err != nil || len(again) != len(entries) {
			t.Errorf("encoded entries read back as %v, %v", again, err)
		}
		last := ""
		for _, n := range newFolder(entries) {
			if !fs.ValidPath(n.name) || strings.Contains(n.name, "/") || n.name == "." || n.name <= last {
				t.Errorf("shown as %q after %q", n.name, last)
			}
			last = n.name
		}
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
