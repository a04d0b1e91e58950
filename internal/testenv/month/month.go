// Package month makes a ledger of a busy month for tests and benchmarks: the branch
// runs/2026-11 of a bare repository, with what an agent of 25 reports would leave there
// that makes 1,000 runs a day. Git's own fast-import writes it, within seconds.
package month

import (
	"bufio"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Branch is where the month stands.
const Branch = "runs/2026-11"

// What happens in the month.
const (
	Days    = 30
	Reports = 25 // each once a day
	Assets  = 40 // of each report
	Runs    = Days * Reports * Assets
)

// commits is how many commits the month has. An agent that commits what gathers in two
// seconds makes as many of runs that end about every second.
const commits = 20_000

// Clone returns a bare repository with the month, for the test alone, whose pushes may
// come over http. The first one is made in build/ of the module's root, which takes
// seconds.
func Clone(t testing.TB, root string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(Manifest(0, 0, 0) + Manifest(0, 0, 7) + slotRecord(0, 0)))
	original := filepath.Join(root, "build", "month-"+hex.EncodeToString(sum[:4])+".git")
	if _, err := os.Stat(original); err != nil {
		if err := build(original); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "month.git")
	for _, args := range [][]string{
		{"clone", "-q", "--bare", "--local", original, dir},
		{"-C", dir, "config", "http.receivepack", "true"},
		{"-C", dir, "config", "gc.auto", "0"},
	} {
		if err := git(nil, args...); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// build makes the month beside its place, and moves it there when it is whole.
func build(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	half, err := os.MkdirTemp(filepath.Dir(dir), "month-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(half)
	if err := git(nil, "init", "-q", "--bare", "-b", Branch, half); err != nil {
		return err
	}
	stream, w := io.Pipe()
	go func() {
		buffered := bufio.NewWriterSize(w, 1<<16)
		write(buffered)
		w.CloseWithError(buffered.Flush())
	}()
	if err := git(stream, "-C", half, "fast-import", "--quiet", "--depth=50"); err != nil {
		return err
	}
	return os.Rename(half, dir)
}

func git(stdin io.Reader, args ...string) error {
	cmd := exec.Command("git", args...)
	cmd.Stdin = stdin
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// write writes the month as git fast-import reads it. A failed write shows at the flush.
func write(w io.Writer) {
	made, runs := 0, 0
	var files []string // pairs of path and content
	for day := range Days {
		for report := range Reports {
			slot := Slot(day, report)
			files = append(files, filepath.Join(slot, "slot.yaml"), slotRecord(day, report))
			for asset := range Assets {
				files = append(files, filepath.Join(slot, AssetName(asset)+".yaml"), Manifest(day, report, asset))
				if runs++; runs*commits < (made+1)*Runs {
					continue
				}
				made++
				writeCommit(w, instant(day, report), ReportName(report), files)
				files = files[:0]
			}
		}
	}
}

func writeCommit(w io.Writer, at time.Time, report string, files []string) {
	message := fmt.Sprintf("%s %s: %d completed\n", report, at.Format(time.DateOnly), len(files)/2)
	fmt.Fprintf(w, "commit refs/heads/%s\ncommitter nbpress <nbpress@localhost> %d +0100\ndata %d\n%s\n", Branch, at.Unix(), len(message), message)
	for i := 0; i < len(files); i += 2 {
		fmt.Fprintf(w, "M 100644 inline %s\ndata %d\n%s\n", files[i], len(files[i+1]), files[i+1])
	}
}

// ReportName names a report, from 0.
func ReportName(report int) string { return fmt.Sprintf("energy/report-%02d", report) }

// AssetName names an asset, from 0.
func AssetName(asset int) string { return fmt.Sprintf("plant-%02d", asset) }

// Slot is the folder of a report's slot, both counted from 0.
func Slot(day, report int) string {
	return ReportName(report) + "/" + instant(day, report).Format("2006-01-02T1504-0700")
}

func instant(day, report int) time.Time {
	return time.Date(2026, 11, 1+day, 6, 2*report, 0, 0, time.FixedZone("CET", 3600))
}

// ID is a run's id, as runner.NewRunID makes it.
func ID(day, report, asset int) string {
	sum := sha256.Sum256([]byte(ReportName(report) + "\x00" + instant(day, report).UTC().Format(time.RFC3339) + "\x00" + AssetName(asset)))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:20]
}

// Manifest is the manifest of a run; each twentieth run failed.
func Manifest(day, report, asset int) string {
	at := instant(day, report)
	sum := func(what string) string {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d/%d", what, day, report, asset))
		return hex.EncodeToString(sum[:])
	}
	id, status, ended := ID(day, report, asset), "completed", "completed"
	if asset%20 == 7 {
		status, ended = "error", "cell_error"
	}
	began := at.Add(time.Duration(1+asset*3)*time.Second + time.Duration(asset*37%1000)*time.Millisecond)
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: nbpress/v1\nkind: Run\nid: %s\ngeneration: 1\nreport: %s\nasset: %s\n", id, ReportName(report), AssetName(asset))
	fmt.Fprintf(&b, "window: {from_day: %s, to_day: %[1]s}\nlanguages: [en, ca]\nscheduled_at: %s\n", at.AddDate(0, 0, -1).Format(time.DateOnly), at.Format(time.RFC3339))
	fmt.Fprintf(&b, "trigger: schedule\nbundle_commit: %s\nparameters: {threshold: 0.%d}\nstatus: %s\nattempts:\n", strings.Repeat(sum("commit")[:4], 10), asset%10, status)
	fmt.Fprintf(&b, "  - started_at: %s\n    finished_at: %s\n    ended: %s\n    sandbox: %s\n", began.Format(time.RFC3339Nano), began.Add(4321*time.Millisecond).Format(time.RFC3339Nano), ended, id+"-g1a1")
	fmt.Fprintf(&b, "    seconds: {cells: 1.%d, files: 0.02, kernel: 0.9%d, output: 0.01, render: 0.4%[1]d, start: 0.03}\nartifacts:\n", asset, report)
	artifact := func(language, name, key string) {
		b.WriteString("  - ")
		if language != "" {
			fmt.Fprintf(&b, "language: %s\n    ", language)
		}
		fmt.Fprintf(&b, "name: %s\n    key: %s\n    sha256: %s\n    bytes: %d\n", name, key, sum(key), 20_000+asset*131+report)
	}
	artifact("", "executed.ipynb", "runs/"+id+"/g1/a1/executed.ipynb")
	if status == "completed" {
		artifact("", "output.json", "runs/"+id+"/g1/a1/output.json")
		for _, language := range []string{"en", "ca"} {
			artifact(language, "index.html", "pages/"+ReportName(report)+"/"+AssetName(asset)+"/"+at.Format("2006-01-02T1504-0700")+"/g1a1/"+language+"/index.html")
		}
		return b.String()
	}
	fmt.Fprintf(&b, "error:\n  code: cell_error\n  fault: report\n  message: 'KeyError: ''meter-%d'''\n  advice: Read the traceback, mend the notebook, and merge.\n", asset*report)
	b.WriteString("  cell: {index: 6, execution_count: 4, line: 3}\n  traceback: |\n    ---------------------------------------------------------------------------\n")
	fmt.Fprintf(&b, "    KeyError                                  Traceback (most recent call last)\n    Cell In[4], line 3\n          1 rows = load(ASSET)\n    ----> 3 rows['meter-%d']\n    KeyError: 'meter-%[1]d'\n", asset*report)
	return b.String()
}

func slotRecord(day, report int) string {
	at := instant(day, report)
	names := make([]string, Assets)
	for asset := range names {
		names[asset] = AssetName(asset)
	}
	return fmt.Sprintf("apiVersion: nbpress/v1\nkind: Slot\nreport: %s\nscheduled_at: %s\ntimezone: Europe/Madrid\nwindow: {from_day: %s, to_day: %[3]s}\ntrigger: schedule\nbundle_commit: %s\nassets: [%s]\n",
		ReportName(report), at.Format(time.RFC3339), at.AddDate(0, 0, -1).Format(time.DateOnly), strings.Repeat("5f1c", 10), strings.Join(names, ", "))
}
