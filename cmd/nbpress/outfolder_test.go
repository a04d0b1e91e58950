package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nbpress/runner"
)

// filesOf returns the files below a folder and what they hold, without nbpress's list.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || entry.Name() == writtenFile {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestWrite_ReplacesAnEarlierRunAndNothingElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	put(t, dir+"/en/mine.txt", "mine")
	put(t, dir+"/fr/index.html", "from another tool")
	completed := runner.Outcome{
		Kept: map[string][]byte{"executed.ipynb": []byte("{}")},
		Pages: map[string][]byte{
			"ca": []byte("pàgina"), "en": []byte("page"), "es": []byte("página"),
		},
		Published: map[string]map[string][]byte{"ca": {"tables/a.csv": []byte("1")}},
	}
	if err := write(dir, completed); err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/es/index.html", "changed by hand")
	failed := runner.Outcome{Kept: map[string][]byte{"executed.ipynb": []byte(`{"failed": true}`)}}
	if err := write(dir, failed); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"en/mine.txt": "mine", "fr/index.html": "from another tool", "es/index.html": "changed by hand",
		"executed.ipynb": `{"failed": true}`,
	}
	if diff := cmp.Diff(want, filesOf(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(dir + "/ca"); err == nil {
		t.Error("an empty folder stayed")
	}
}

func TestWrite_RemovesNothingOutsideTheFolder(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "out")
	put(t, top+"/precious", "precious")
	put(t, top+"/elsewhere/index.html", "precious")
	put(t, dir+"/"+writtenFile, `{"../precious": "`+digest([]byte("precious"))+`", "en/index.html": "`+digest([]byte("precious"))+`"}`)
	if err := os.Symlink("../elsewhere", dir+"/en"); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, runner.Outcome{}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"precious": "precious", "elsewhere/index.html": "precious"}
	if diff := cmp.Diff(want, filesOf(t, top)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestWrite_RefusesAListThatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/"+writtenFile, "no JSON")
	if err := write(dir, runner.Outcome{}); err == nil {
		t.Error("no error")
	}
}
