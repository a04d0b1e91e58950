package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nbpress/internal/testenv"
)

// exampleSlot is how long ago the examples were merged, so that a slot of each is due.
const exampleSlot = 8 * 24 * time.Hour

// mergeExamples makes bare repositories, all alike, with the example reports.
func mergeExamples(t *testing.T, repositories ...string) {
	t.Helper()
	work := t.TempDir()
	if err := os.CopyFS(work, os.DirFS(filepath.Join(testenv.Root(t), "reports-example"))); err != nil {
		t.Fatal(err)
	}
	mergeFolder(t, work, time.Now().Add(-exampleSlot), repositories...)
}

// mergeFolder makes bare repositories of a folder, merged at a time.
func mergeFolder(t *testing.T, work string, at time.Time, repositories ...string) {
	t.Helper()
	date := at.Format(time.RFC3339)
	commands := [][]string{
		{"-C", work, "init", "-q", "-b", "main"}, {"-C", work, "add", "."},
		{"-C", work, "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-q", "-m", "Publish the examples"},
	}
	for _, bare := range repositories {
		commands = append(commands, []string{"clone", "-q", "--bare", work, bare}, []string{"-C", bare, "config", "http.receivepack", "true"})
	}
	for _, args := range commands {
		cmd := exec.Command("git", args...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
}

// command runs the program and returns its exit status and what it said.
func command(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*e2ePatience)
	defer cancel()
	var out, said bytes.Buffer
	status = run(ctx, args, streams{in: strings.NewReader(""), out: &out, err: &said})
	return status, out.String(), said.String()
}

// pagesOf reads the pages below a folder.
func pagesOf(t *testing.T, folder string) map[string]string {
	t.Helper()
	pages := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "index.html" {
			return err
		}
		data, err := os.ReadFile(path)
		name, relErr := filepath.Rel(folder, path)
		if pages[name] = string(data); relErr != nil {
			return relErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// environment is what the talk's example prints of its own: the rows of its table.
var environment = regexp.MustCompile(`(?s)<tbody>.*</tbody>`)

// TestE2E_PagesAreTheSameFromBothEngines runs the examples by two agents, in a cluster and
// on this machine.
func TestE2E_PagesAreTheSameFromBothEngines(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	root := t.TempDir()
	engines := map[string]string{
		"pods":  c.executor(2) + "    caps: {cpu: 100m, memory: 512Mi}\n",
		"local": fmt.Sprintf("executor: {slots: 2, local: {python: %s, dir: %s/boxes}}\n", testenv.Python(t), root),
	}
	mergeExamples(t, root+"/pods.git", root+"/local.git")
	pages := map[string]map[string]string{}
	for name, executor := range engines {
		config := filepath.Join(root, name+".yaml")
		text := fmt.Sprintf("repository: {url: %[1]s.git}\nstore: {dir: %[1]s-store}\nstate: %[1]s-state\n%[2]s", name, executor)
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if status, _, stderr := command(t, "agent", "--config", config, "--once"); status != exitDone {
			t.Fatalf("%s: exit status %d\n%s", name, status, stderr)
		}
		pages[name] = pagesOf(t, filepath.Join(root, name+"-store", "pages"))
	}
	if got, want := slices.Sorted(maps.Keys(pages["pods"])), slices.Sorted(maps.Keys(pages["local"])); !slices.Equal(got, want) || len(want) == 0 {
		t.Fatalf("pages from pods: %q\nlocal: %q", got, want)
	}
	for name, want := range pages["local"] {
		got := pages["pods"][name]
		if strings.HasPrefix(name, "asset-report/") {
			got, want = environment.ReplaceAllString(got, ""), environment.ReplaceAllString(want, "")
		}
		if got != want {
			t.Errorf("%s differs: %d bytes from pods, %d local", name, len(got), len(want))
		}
	}
	t.Logf("%d pages are the same", len(pages["local"]))
	if left := c.orphans(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// TestE2E_RunFromALaptop runs a report in a cluster by a command that reaches its pod
// through the API server alone. One that is killed leaves a pod, which the next removes.
func TestE2E_RunFromALaptop(t *testing.T) {
	t.Parallel()
	testenv.HeedSignals()
	c := onCluster(t)
	config, out, cache := c.config(""), t.TempDir(), t.TempDir()
	bundle := filepath.Join(testenv.Root(t), "reports-example", "asset-report")
	laptop := func() *exec.Cmd {
		cmd := exec.Command("nbpress", "run", bundle, "--config", config, "--kubeconfig", c.kubeconfig,
			"--asset", "762f5ba5-03e8-4001-bc67-f56d6f3c7003", "--language", "en", "--out", out)
		cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache)
		return cmd
	}
	killed := laptop()
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	c.until("the pod of the first command is there", func() bool { return strings.Contains(fmt.Sprint(c.runs()), "pod/run-") })
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed
	said, err := laptop().CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	page, err := os.ReadFile(filepath.Join(out, "762f5ba5-03e8-4001-bc67-f56d6f3c7003", "en", "index.html"))
	if err != nil || !bytes.Contains(page, []byte("Asset Report")) {
		t.Errorf("the page: %v\n%.300s", err, page)
	}
	if left := c.orphans(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// TestE2E_CheckImage holds three images against what reports need.
func TestE2E_CheckImage(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	config := c.config("")
	for _, test := range []struct {
		image  string
		status int
		says   []string
	}{
		{c.image, exitDone, []string{": fits\n", "ipykernel ", "pandas "}},
		{"localhost/nbpress-bare:dev", exitDone, []string{": fits\n", "this one has not: "}},
		{"localhost/nbpress-python:dev", exitReportFailed, []string{": does not fit\n", "has no ipykernel"}},
		{"localhost/nbpress-nowhere:dev", exitReportFailed, []string{": does not fit\n", "the cluster cannot pull it"}},
	} {
		status, stdout, stderr := command(t, "check-image", test.image, "--config", config, "--kubeconfig", c.kubeconfig)
		if status != test.status {
			t.Errorf("%s: exit status %d, want %d\n%s%s", test.image, status, test.status, stdout, stderr)
		}
		for _, text := range test.says {
			if !strings.Contains(stdout, text) {
				t.Errorf("%s: %q is not in\n%s%s", test.image, text, stdout, stderr)
			}
		}
	}
	if left := c.orphans(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// TestE2E_ImagesAndResourcesAreTheOperators: a report that names an image which nobody
// allowed does not run, and one that asks for too much gets the cap.
func TestE2E_ImagesAndResourcesAreTheOperators(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	root := t.TempDir()
	work := filepath.Join(root, "work")
	for name, more := range map[string]string{
		"foreign": `, "image": "registry.example.com/other:1"`,
		"greedy":  `, "resources": {"memory": "64Gi"}`,
	} {
		notebook, err := notebookOf([]byte(plainNotebook))
		if err == nil {
			err = os.MkdirAll(filepath.Join(work, name), 0o755)
		}
		for file, text := range map[string]string{
			"config.json": strings.TrimSuffix(strings.TrimSpace(plainConfig), "}") + more + "}", "template.html": plainTemplate, "report.ipynb": string(notebook),
		} {
			if err == nil {
				err = os.WriteFile(filepath.Join(work, name, file), []byte(text), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	bare := filepath.Join(root, "reports.git")
	mergeFolder(t, work, time.Now().Add(-90*time.Minute), bare)
	config := filepath.Join(root, "nbpress.yaml")
	text := "repository: {url: reports.git}\nstore: {dir: store}\n" + c.executor(2) + "    caps: {memory: 300Mi}\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := command(t, "agent", "--config", config, "--once"); status != exitDone {
		t.Fatalf("exit status %d\n%s", status, stderr)
	}
	ledger, err := exec.Command("git", "-C", bare, "log", "-p", "--branches=runs/2*").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, ledger)
	}
	for _, want := range []string{
		`the operator does not allow the image "registry.example.com/other:1"; use one of`,
		"resources.memory is 64Gi, and the operator gives 300Mi at most: runs get that",
		"greedy/a", "status: completed",
	} {
		if !bytes.Contains(ledger, []byte(want)) {
			t.Errorf("the ledger does not say %q", want)
		}
	}
	if bytes.Contains(ledger, []byte("foreign/a")) {
		t.Error("the report with a foreign image ran")
	}
	if t.Failed() {
		t.Logf("%s", ledger)
	}
}
