package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nbpress/runner"
	"nbpress/runner/store"
)

// TestFaults_JudgeComplainsOfWhatIsDoctored: a rig where nobody was hurt is as it should
// be, and each change of it is noticed. $STORE and $REPO are copies of its store and its
// repository, $RUN is the folder of a run that completed, in $SLOT; $MONTH the branch.
func TestFaults_JudgeComplainsOfWhatIsDoctored(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.finish()
	newest := r.due[0]
	run := "runs/" + string(runner.NewRunID(newest.report, newest.asset, newest.at))
	plumb := `export GIT_INDEX_FILE=$REPO/index GIT_DIR=$REPO; git read-tree $MONTH
		put() { git update-index --add --cacheinfo 100644,$(git hash-object -w --stdin),$1; }
		land() { git update-ref refs/heads/$MONTH $(git commit-tree -m doctored $* $(git write-tree)); }
		`
	for _, test := range []struct{ name, doctor, want string }{
		{"nothing", ``, ``},
		{"a run is lost", `rm -r $STORE/$RUN`, `lost: energy/a of `},
		{"a run is doubled", `cp -r $STORE/$RUN $STORE/runs/abcdefghijklmnopqrst`, `doubled: energy/a of `},
		{"a run was not due", `mkdir -p $STORE/runs/abcdefghijklmnopqrst/g1; sed 's/^asset: a/asset: z/' $STORE/$RUN/g1/manifest.yaml >$STORE/runs/abcdefghijklmnopqrst/g1/manifest.yaml`, `was not due`},
		{"a run has not ended", `rm $STORE/$RUN/g1/manifest.yaml`, `has no terminal manifest`},
		{"a run ended otherwise", `sed -i 's/^status: completed/status: error/' $STORE/$RUN/g1/manifest.yaml`, `ended as "error", not "completed"`},
		{"a generation nobody asked for", `cp -r $STORE/$RUN/g1 $STORE/$RUN/g2`, `store: a manifest at `},
		{"an artifact is gone", `rm $STORE/$RUN/g1/a1/output.json`, `/output.json is not what the manifest says`},
		{"a page is another", `echo >>$STORE/pages/energy/a/$SLOT/g1a1/ca/index.html`, `/ca/index.html is not what the manifest says`},
		{"a page is missing", `sed -i '/language: ca/d' $STORE/$RUN/g1/manifest.yaml`, `completed without a page in ca`},
		{"too many attempts", `cp $STORE/$RUN/g1/claim-1 $STORE/$RUN/g1/claim-2`, `was attempted 2 times after 0 kills`},
		{"too many attempts of all", `cp $STORE/$RUN/g1/claim-1 $STORE/$RUN/g1/claim-2`, `7 attempts of 6 runs`},
		{"the outbox holds something", `echo x >$STORE/outbox/x.yaml`, `left over: outbox/x.yaml`},
		{"a slot is open", `echo x >$STORE/slots/x.yaml`, `left over: slots/x.yaml`},
		{"a latest page is old", `cp $STORE/pages/energy/a/$OLD/g1a1/ca/index.html $STORE/pages/energy/a/latest/ca/`, `latest/ca/index.html is not of `},
		{"a latest page is gone", `rm $STORE/pages/energy/b/latest/en/index.html`, `latest/en/index.html is not of `},
		{"a manifest never landed", plumb + `git rm -q --cached energy/$SLOT/a.yaml; land -p $MONTH`, `ledger: there is no `},
		{"a slot never landed", plumb + `git rm -q --cached energy/$SLOT/slot.yaml; land -p $MONTH`, `slot.yaml`},
		{"a manifest landed differently", plumb + `echo x | put energy/$SLOT/a.yaml; land -p $MONTH`, `differs from the store's`},
		{"a manifest landed twice", plumb + `echo x | put energy/$SLOT/a.yaml; land -p $MONTH; git update-ref refs/heads/$MONTH $(git commit-tree -m back -p $MONTH $MONTH~1^{tree})`, `ledger: doubled: `},
		{"a file of somebody's landed", plumb + `echo x | put notes.txt; land -p $MONTH`, `notes.txt is not one of our paths`},
		{"a slot is told as missed", plumb + `echo x | put energy/missed-$SLOT.yaml; land -p $MONTH`, `ledger: told as missed: `},
		{"a merge", plumb + `other=$(git commit-tree -m other $MONTH^{tree}); land -p $MONTH -p $other`, `ledger: merges: `},
		{"a branch that began anew", plumb + `land; git update-ref refs/heads/$MONTH $(git commit-tree -m joined -p $MONTH -p $TIP $MONTH^{tree})`, ` has 2 roots`},
		{"an object is damaged", `f=$(find $REPO/objects -type f -path '*/??/*' | head -1); chmod u+w $f; echo x >$f`, `ledger: git fsck`},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if out, err := exec.Command("cp", "-a", filepath.Join(r.root, "store"), r.bare, dir).CombinedOutput(); err != nil {
				t.Fatalf("cp: %v\n%s", err, out)
			}
			bare := filepath.Join(dir, "reports.git")
			tip, err := exec.Command("git", "--git-dir", bare, "rev-parse", "runs/"+newest.at.Format("2006-01")).Output()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sh", "-ec", test.doctor)
			cmd.Env = append(os.Environ(), "STORE="+filepath.Join(dir, "store"), "REPO="+bare, "RUN="+run,
				"SLOT="+runner.SlotName(newest.at), "OLD="+runner.SlotName(r.due[3].at), "MONTH=runs/"+newest.at.Format("2006-01"),
				"TIP="+strings.TrimSpace(string(tip)), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
				"GIT_AUTHOR_NAME=Eve", "GIT_AUTHOR_EMAIL=eve@example.com", "GIT_COMMITTER_NAME=Eve", "GIT_COMMITTER_EMAIL=eve@example.com")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", test.doctor, err, out)
			}
			e := r.evidence()
			e.store, e.ledger = store.NewDirReader(filepath.Join(dir, "store")), bare
			complaints := strings.Join(e.complaints(t.Context()), "\n")
			if test.want == "" && complaints != "" || !strings.Contains(complaints, test.want) {
				t.Errorf("complaints %q, want %q among them", complaints, test.want)
			}
		})
	}
	for name, leave := range map[string]func() (clean func()){
		"a sandbox": func() func() {
			dir := filepath.Join(r.root, "boxes-first", "left")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			return func() { _ = os.Remove(dir) }
		},
		"a temporary file": func() func() {
			file := filepath.Join(r.root, "tmp", "left")
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			return func() { _ = os.Remove(file) }
		},
	} {
		clean := leave()
		if len(r.debris()) != 1 {
			t.Errorf("%s is not noticed: %q", name, r.debris())
		}
		clean()
	}
	cmd := exec.Command("sleep", "600")
	cmd.Env = []string{"RIG=" + r.root}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if len(r.sandboxed()) != 1 {
		t.Errorf("a process is not noticed: %q", r.sandboxed())
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
