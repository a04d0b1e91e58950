package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"nbpress/internal/testenv"
)

// plainJinja2 renders each folder's template.html as an author does at home, in the
// language ca, and prints a JSON list: the page, or the class of what was raised.
const plainJinja2 = `
import gettext, json, os, sys
from jinja2 import Environment, FileSystemLoader, select_autoescape

answers = []
for folder in sys.stdin.read().split():
    os.chdir(folder)
    try:
        env = Environment(loader=FileSystemLoader([".", "common"]), autoescape=select_autoescape(), extensions=["jinja2.ext.i18n"])
        env.install_gettext_translations(gettext.translation("messages", "languages", ["ca"], fallback=True))
        with open("output.json") as f:
            output = json.load(f)
        output.update(output.pop("by_language", {}).get("ca", {}))
        answers.append({"Page": env.get_template("template.html").render(output, language="ca")})
    except Exception as err:
        answers.append({"Raised": type(err).__name__})
json.dump(answers, sys.stdout)
`

// TestRender_IsWhatJinja2Makes renders more than 300 templates, over all of Jinja2's
// statements, filters and tests, with plain Jinja2 and with `nbpress render`.
func TestRender_IsWhatJinja2Makes(t *testing.T) {
	testenv.HeedSignals()
	corpus := filepath.Join(testenv.Root(t), "runner", "internal", "render", "testdata", "oracle")
	sources := oracleSources(t, corpus)
	if len(sources) < 300 {
		t.Fatalf("only %d templates", len(sources))
	}
	root := t.TempDir()
	shared, err := txtar.ParseFile(filepath.Join(corpus, "files.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := txtar.FS(shared)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(corpus, "output.json"))
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for i, source := range sources {
		folder := filepath.Join(root, fmt.Sprint(i))
		writeTree(t, folder, files)
		for name, content := range map[string][]byte{
			"template.html": []byte(source.text), "output.json": data, "nbpress.json": []byte(`{"include": ["common"]}`),
		} {
			if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		folders = append(folders, folder)
	}
	compile := exec.Command(testenv.Python(t), "-I", "-c", "import sys; from babel.messages import mofile, pofile; "+
		"mofile.write_mo(sys.stdout.buffer, pofile.read_po(sys.stdin.buffer))")
	po, err := fs.ReadFile(files, "languages/ca/LC_MESSAGES/messages.po")
	if err != nil {
		t.Fatal(err)
	}
	compile.Stdin = bytes.NewReader(po)
	mo, err := compile.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if err := os.WriteFile(filepath.Join(folder, "languages/ca/LC_MESSAGES/messages.mo"), mo, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(testenv.Python(t), "-I", "-c", plainJinja2)
	cmd.Stdin = strings.NewReader(strings.Join(folders, " "))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers []struct{ Page, Raised string }
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatal(err)
	}
	raised := 0
	for i, want := range answers {
		if want.Raised != "" {
			raised++
		}
		t.Run(sources[i].name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			status := run(t.Context(), []string{
				"render", "--template", filepath.Join(folders[i], "template.html"), "--data", filepath.Join(folders[i], "output.json"),
				"--language", "ca", "--python", testenv.Python(t),
			}, streams{in: strings.NewReader(""), out: &stdout, err: &stderr})
			switch {
			case want.Raised == "" && status == exitDone:
				if got := stdout.String(); got != want.Page {
					t.Errorf("%s\ngot  %q\nwant %q", sources[i].text, got, want.Page)
				}
			case want.Raised != "" && status == exitReportFailed:
				// Jinja2's own errors of syntax are told by their messages alone.
				if said := stderr.String(); !strings.Contains(said, want.Raised+":") && !strings.HasPrefix(want.Raised, "Template") {
					t.Errorf("%s\nJinja2 raises %s; we say\n%s", sources[i].text, want.Raised, said)
				}
			default:
				t.Errorf("%s\nexit status %d; Jinja2: %+v\n%s", sources[i].text, status, want, stderr.Bytes())
			}
		})
	}
	if raised > len(answers)/5 {
		t.Errorf("%d of %d templates raise", raised, len(answers))
	}
}

type oracleSource struct{ name, text string }

// oracleSources are the lines of the corpus's lists and the files of whitespace.txtar.
func oracleSources(t *testing.T, corpus string) []oracleSource {
	t.Helper()
	var sources []oracleSource
	lists, err := filepath.Glob(filepath.Join(corpus, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		data, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
			if i > 0 { // what the list is
				sources = append(sources, oracleSource{fmt.Sprintf("%s:%d", filepath.Base(list), i+1), line})
			}
		}
	}
	archive, err := txtar.ParseFile(filepath.Join(corpus, "whitespace.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range archive.Files {
		sources = append(sources, oracleSource{file.Name, string(file.Data)})
	}
	return sources
}

func writeTree(t *testing.T, folder string, files fs.FS) {
	t.Helper()
	if err := os.CopyFS(folder, files); err != nil {
		t.Fatal(err)
	}
}
