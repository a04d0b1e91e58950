package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nbpress/internal/testenv"
	"nbpress/runner"
)

// TestDocs_ErrorsPageNamesEveryCode wants a row for every code in docs/errors.md, with
// its fault, whether it is retried and what to do, all as the program says it.
func TestDocs_ErrorsPageNamesEveryCode(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(page), "\n")
	retried := map[bool]string{true: "yes", false: "no"}
	for _, code := range runner.Codes() {
		var rows []string
		for _, line := range lines {
			if strings.HasPrefix(line, "|") && strings.Contains(line, "| `"+string(code)+"` |") {
				rows = append(rows, line)
			}
		}
		if len(rows) == 0 {
			t.Errorf("docs/errors.md has no row for %s", code)
		}
		want := "| " + string(code.Fault()) + " | " + retried[code.Retried()] + " | " + code.Advice() + " |"
		for _, row := range rows {
			if !strings.HasSuffix(row, want) {
				t.Errorf("docs/errors.md: %s\nwant it to end in %s", row, want)
			}
		}
	}
}

// The cells and the template of docs/authors.md's first steps make a report that is right.
func TestDocs_FirstStepsMakeAReport(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "authors.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, steps, _ := strings.Cut(string(page), "\n3. Make the notebook yours.")
	steps, _, _ = strings.Cut(steps, "\n5. ")
	steps = strings.ReplaceAll(steps, "\n   ", "\n")
	cells := regexp.MustCompile("(?s)```python\n(.*?)```").FindAllStringSubmatch(steps, -1)
	template := regexp.MustCompile("4\\. Make the template yours: `([^`]+)`").FindStringSubmatch(steps)
	if len(cells) != 4 || template == nil {
		t.Fatalf("the steps have another form: %d cells in\n%s", len(cells), steps)
	}
	source := ""
	for _, cell := range cells {
		source += "# %%\n" + cell[1]
	}
	notebook, err := notebookOf([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	bundle, out := filepath.Join(t.TempDir(), "weekly"), t.TempDir()
	var said strings.Builder
	nbpress := func(args ...string) {
		t.Helper()
		if status := run(t.Context(), args, streams{in: strings.NewReader(""), out: io.Discard, err: &said}); status != exitDone {
			t.Fatalf("nbpress %v: status %d\n%s", args, status, said.String())
		}
	}
	nbpress("new", bundle)
	for name, data := range map[string][]byte{"report.ipynb": notebook, "template.html": []byte(template[1])} {
		if err := os.WriteFile(filepath.Join(bundle, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	nbpress("check", bundle)
	nbpress("run", bundle, "--out", out, "--python", testenv.Python(t))
	if strings.Contains(said.String(), "warning") {
		t.Errorf("a warning:\n%s", said.String())
	}
	html, err := os.ReadFile(filepath.Join(out, "plant-2", "en", "index.html"))
	if want := "<h1>Weekly report for plant-2</h1> <p>Total: 144.4 kWh</p>"; err != nil || strings.TrimSpace(string(html)) != want {
		t.Errorf("got %q, %v, want %q", html, err, want)
	}
}
