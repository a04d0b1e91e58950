package main

import (
	"os"
	"path/filepath"
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
