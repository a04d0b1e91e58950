package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nbpress/gitsync"
)

// rawRepo makes what no git would: trees of any bytes.
type rawRepo struct {
	t   testing.TB
	dir string
}

func newRawRepo(t testing.TB) rawRepo {
	t.Helper()
	r := rawRepo{t, filepath.Join(t.TempDir(), "reports.git")}
	newBareRepo(t, r.dir)
	return r
}

func (r rawRepo) write(data []byte, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"hash-object", "-w", "--stdin"}, args...)...)
	cmd.Dir, cmd.Stdin = r.dir, bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func (r rawRepo) blob(text string) string { return r.write([]byte(text)) }

// entry is a line of a tree.
func rawEntry(mode, name, hash string) string {
	sum, _ := hex.DecodeString(hash) // git has just written it
	return mode + " " + name + "\x00" + string(sum)
}

func (r rawRepo) tree(entries ...string) string {
	return r.write([]byte(strings.Join(entries, "")), "-t", "tree", "--literally")
}

// commit makes a root tree the branch's newest.
func (r rawRepo) commit(root string) {
	args := []string{"-c", "user.name=a", "-c", "user.email=a@example.com", "commit-tree", "-m", "Reports"}
	if out, err := exec.Command("git", "-C", r.dir, "rev-parse", "-q", "--verify", "main").Output(); err == nil {
		args = append(args, "-p", strings.TrimSpace(string(out)))
	}
	runGit(r.t, r.dir, "update-ref", "refs/heads/main", runGit(r.t, r.dir, append(args, root)...))
}

// bundle is a good one, but for more entries and for what stands in another's place.
func (r rawRepo) bundle(more ...string) string {
	notebook, err := notebookOf([]byte(plainNotebook))
	if err != nil {
		r.t.Fatal(err)
	}
	files := map[string]string{"config.json": plainConfig, "report.ipynb": string(notebook), "template.html": plainTemplate}
	entries := more
	for _, name := range []string{"config.json", "report.ipynb", "template.html"} {
		if !strings.Contains(strings.Join(more, ""), " "+name+"\x00") {
			entries = append(entries, rawEntry("100644", name, r.blob(files[name])))
		}
	}
	return r.tree(entries...)
}

// hostileBundles are bundles that must be refused, with a word of why.
func (r rawRepo) hostileBundles() map[string][2]string {
	file := r.blob("x")
	deep := r.tree(rawEntry("100644", "bottom", file))
	for range 200 {
		deep = r.tree(rawEntry("40000", "d", deep))
	}
	bomb := r.tree(rawEntry("100644", "f", file))
	for range 12 {
		var many []string
		for n := range 10 {
			many = append(many, rawEntry("40000", fmt.Sprintf("d%d", n), bomb))
		}
		bomb = r.tree(many...)
	}
	var thousands strings.Builder
	for n := range 100_000 {
		thousands.WriteString(rawEntry("100644", fmt.Sprintf("f%06d", n), file))
	}
	link := func(to string) string { return r.bundle(rawEntry("120000", "link", r.blob(to))) }
	return map[string][2]string{
		"link-beside":      {link("config.json"), "a symbolic link"},
		"link-out":         {link("../good-00/config.json"), "a symbolic link"},
		"link-root":        {link("/etc/passwd"), "a symbolic link"},
		"link-loop":        {link("link"), "a symbolic link"},
		"link-as-config":   {r.bundle(rawEntry("120000", "config.json", r.blob("../good-00/config.json"))), "a symbolic link"},
		"submodule":        {r.bundle(rawEntry("160000", "sub", file)), "submodules are not fetched"},
		"submodule-config": {r.bundle(rawEntry("160000", "config.json", file)), "submodules are not fetched"},
		"dot-git":          {r.bundle(rawEntry("40000", ".git", r.tree(rawEntry("100644", "config", file)))), "Git's own"},
		"dot-GIT":          {r.bundle(rawEntry("100644", ".GIT", file)), "Git's own"},
		"git-1":            {r.bundle(rawEntry("100644", "git~1", file)), "Git's own"},
		"dot-dot":          {r.bundle(rawEntry("40000", "..", deep)), "leads out of its folder"},
		"newline":          {r.bundle(rawEntry("100644", "a\nb", file)), "control character"},
		"slash":            {r.bundle(rawEntry("100644", "../../etc/passwd", file)), "path separator"},
		"no-utf8":          {r.bundle(rawEntry("100644", "\xff", file)), "not UTF-8"},
		"case":             {r.bundle(rawEntry("100644", "Data.csv", file), rawEntry("100644", "data.csv", file)), "differ only in case"},
		"twice":            {r.bundle(rawEntry("100644", "data.csv", file), rawEntry("100644", "data.csv", r.blob("y"))), "the name is there twice"},
		"twice-config":     {r.bundle(rawEntry("100644", "config.json", file), rawEntry("100644", "config.json", r.blob(plainConfig))), "the name is there twice"},
		"key-twice":        {r.bundle(rawEntry("100644", "config.json", r.blob(`{"schedule": "0 6 * * 1", "schedule": "* * * * *"}`))), `"schedule"`},
		"lfs":              {r.bundle(rawEntry("100644", "data.bin", r.blob("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"))), "a Git LFS pointer"},
		"many-files":       {r.bundle(rawEntry("40000", "data", r.tree(thousands.String()))), "more than 200 files"},
		"deep":             {r.bundle(rawEntry("40000", "d", deep)), "folders inside each other"},
		"bomb":             {r.bundle(rawEntry("40000", "d", bomb)), "entries stand below it"},
		"large":            {r.bundle(rawEntry("100644", "data.csv", r.write(make([]byte, gitsync.DefaultMaxFile+1)))), "too large"},
	}
}

// goodBundles are so many entries of a root tree.
func (r rawRepo) goodBundles(n int) []string {
	good := r.bundle()
	entries := make([]string, n)
	for i := range entries {
		entries[i] = rawEntry("40000", fmt.Sprintf("good-%02d", i), good)
	}
	return entries
}

// newReadingAgent is an agent that can read a repository's reports.
func newReadingAgent(t testing.TB, url string) *agent {
	t.Helper()
	repo, err := gitsync.Open(gitsync.Options{URL: url, Dir: t.TempDir(), Timeout: 5 * time.Minute}) // a gigabyte takes a busy machine long
	if err != nil {
		t.Fatal(err)
	}
	return &agent{repo: repo, log: slog.New(slog.DiscardHandler)}
}

// syncOnce takes the newest commit and reads its reports.
func syncOnce(t testing.TB, a *agent) map[string]*newsItem {
	t.Helper()
	commit, _, err := a.repo.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	items, err := a.load(commit)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

func TestLoad_RefusesHostileBundlesAlone(t *testing.T) {
	r := newRawRepo(t)
	entries := r.goodBundles(20)
	hostile := r.hostileBundles()
	for name, h := range hostile {
		entries = append(entries, rawEntry("40000", name, h[0]))
	}
	r.commit(r.tree(entries...))
	started := time.Now()
	items := syncOnce(t, newReadingAgent(t, r.dir))
	t.Logf("the first sync took %v", time.Since(started))
	for name, h := range hostile {
		item := items[name]
		if item == nil || item.bundle != nil {
			t.Errorf("%s: not refused", name)
			continue
		}
		var problems []string
		for _, p := range item.problems {
			problems = append(problems, p.String())
		}
		if all := strings.Join(problems, "\n"); !strings.Contains(all, h[1]) || strings.Contains(all, "\nb") {
			t.Errorf("%s: refused for\n%s\nwant a word of %q", name, all, h[1])
		}
		delete(items, name)
	}
	if len(items) != 20 {
		t.Errorf("%d other reports, want the 20 good ones", len(items))
	}
	for name, item := range items {
		if item.bundle == nil {
			t.Errorf("%s: refused for %v", name, item.problems)
		}
	}
}

// BenchmarkSync is one more commit taken and read where 200 reports are good, and where
// each kind of hostile bundle stands beside them.
func BenchmarkSync(b *testing.B) {
	for _, kind := range []string{"good", "hostile"} {
		b.Run(kind, func(b *testing.B) {
			r := newRawRepo(b)
			entries := r.goodBundles(200)
			if kind == "hostile" {
				for name, h := range r.hostileBundles() {
					entries = append(entries, rawEntry("40000", name, h[0]))
				}
			}
			r.commit(r.tree(entries...))
			a := newReadingAgent(b, r.dir)
			first := time.Now()
			syncOnce(b, a)
			took := time.Since(first)
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				r.commit(r.tree(append(entries, rawEntry("100644", "README.md", r.blob(fmt.Sprint(n))))...))
				b.StartTimer()
				syncOnce(b, a)
			}
			b.ReportMetric(float64(took.Milliseconds()), "first-ms")
		})
	}
}
