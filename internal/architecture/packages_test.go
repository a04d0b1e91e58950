package architecture

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nbpress/internal/testenv"
)

func TestPackages_StandInTheArchitecture(t *testing.T) {
	root := testenv.Root(t)
	page, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## The packages\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var named []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		named = append(named, row[1])
		if info, err := os.Stat(filepath.Join(root, row[1])); err != nil || !info.IsDir() {
			t.Errorf("ARCHITECTURE.md has a row for %s, which is no folder", row[1])
		}
	}
	src, err := load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range src.files {
		if !slices.Contains(named, f.dir) {
			named = append(named, f.dir) // once is enough
			t.Errorf("ARCHITECTURE.md has no row for the package %s: say what it promises, and what it must not know", f.dir)
		}
	}
}
