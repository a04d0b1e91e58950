package architecture

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nbpress/internal/testenv"
)

// requirementsFiles are the Python packages of the reports, the tests and the benchmark.
var requirementsFiles = [...]string{"kernel-image/kernel-requirements.txt", "internal/testenv/requirements.txt", "internal/bench/requirements.txt"}

func TestDependencies_AllStandInTheManual(t *testing.T) {
	want := append(directModules(t), requirements(t)...)
	got := dependenciesInManual(t)
	want = slices.Compact(slices.Sorted(slices.Values(want))) // two files may require the same
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/dependencies.md must have one row for each direct dependency of go.mod and of %v: say what it saves, why this one, its licence (-dependencies +manual):\n%s", requirementsFiles, diff)
	}
}

func TestRequirements_ArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^[A-Za-z0-9_.-]+==[0-9][0-9.]*(?:; .+)?$`) // with the platforms that there is one for
	for _, name := range requirementsFiles {
		for _, line := range requirementLines(t, name) {
			if !pinned.MatchString(line) {
				t.Errorf("%s: %q: pin it, as name==version, so that every machine runs the same", name, line)
			}
		}
	}
}

// directModules returns the modules that go.mod requires for our own code and tools.
func directModules(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("go", "mod", "edit", "-json")
	cmd.Dir = testenv.Root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Tool []struct{ Path string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, r := range mod.Require {
		tool := slices.ContainsFunc(mod.Tool, func(tool struct{ Path string }) bool { return strings.HasPrefix(tool.Path, r.Path+"/") })
		if !r.Indirect || tool {
			direct = append(direct, r.Path)
		}
	}
	return direct
}

// requirements returns the Python packages, by names in the small letters that pip
// takes for equal.
func requirements(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, file := range requirementsFiles {
		for _, line := range requirementLines(t, file) {
			name, _, _ := strings.Cut(line, "==")
			names = append(names, strings.ToLower(name))
		}
	}
	return names
}

func requirementLines(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testenv.Root(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// dependenciesInManual returns the names in the first column of the manual's tables.
func dependenciesInManual(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(data), -1) {
		names = append(names, row[1])
	}
	slices.Sort(names)
	return names
}
