package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nbpress/internal/testenv/authority"
)

// holdsToken has the run's token by both ways, looks for it in its pod, and waits until the
// test has looked at the cluster.
const holdsToken = `#Environment
token = "$TOKEN"
# %%
import glob, hashlib, json, os, time
files = glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline")
for top in (os.getcwd(), os.environ["HOME"], "/tmp"):
    files += [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names]
def holds(path):
    try:
        return os.path.isfile(path) and token.encode() in open(path, "rb").read()
    except OSError:
        return False
found = [path for path in files if holds(path)]
open("/tmp/holds", "w").close()
while not os.path.exists("/tmp/seen"):
    time.sleep(0.1)
digests = [hashlib.sha256(t.encode()).hexdigest() for t in (token, os.environ["DATA_TOKEN"])]
json.dump({"title": f"{digests[0]} {digests[1]} found {len(found)}: {found}"}, open("output.json", "w"))
`

// TestE2E_ATokenReachesTheNotebookAlone has a run's token in an #Environment cell and in the
// variable that the report names, and looks for it while it is there: in the objects of the
// cluster, in what the containers log and in the files of the pod. Afterwards it is nowhere.
func TestE2E_ATokenReachesTheNotebookAlone(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	server := authority.New(t, false)
	dir := t.TempDir()
	work := filepath.Join(dir, "work", "holds")
	notebook, err := notebookOf([]byte(holdsToken))
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, filepath.Join(work, "report.ipynb"), notebook)
	writeAll(t, filepath.Join(work, "template.html"), []byte(plainTemplate))
	writeAll(t, filepath.Join(work, "config.json"), []byte(`{"schedule": "0 0 * * *", "window": "yesterday", "assets": ["a"],
		"token": "http", "token_env": "DATA_TOKEN", "timeout": {"cell": "5m"}}`))
	mergeFolder(t, filepath.Dir(work), time.Now().Add(-25*time.Hour), filepath.Join(dir, "reports.git"))
	writeAll(t, filepath.Join(dir, "client-secret"), []byte(authority.ClientSecret))
	writeAll(t, filepath.Join(dir, "nbpress.yaml"), fmt.Appendf(nil, `repository: {url: reports.git}
store: {dir: store}
state: state
log: {level: debug}
token:
  http: {url: %[1]s/token, revoke_url: %[1]s/revoke, client_id: %[2]s, client_secret_file: client-secret, reports: [holds]}
%[3]s`, server.URL, authority.ClientID, c.executor(1)))

	var status int
	var stderr string
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		status, _, stderr = command(t, "agent", "--config", filepath.Join(dir, "nbpress.yaml"), "--once")
	}()
	t.Cleanup(func() { <-ended })
	pod := ""
	c.until("a pod's notebook holds its token", func() bool {
		select {
		case <-ended:
			t.Fatalf("the agent ended before: exit status %d\n%s", status, stderr)
		default:
		}
		if pod = c.kubectl("get", "pods", "-l", "app.kubernetes.io/managed-by=nbpress", "-o", "name"); pod == "" {
			return false
		}
		_, err := c.try(nil, "exec", pod, "-c", "kernel", "--", "test", "-e", "/tmp/holds")
		return err == nil
	})
	seen := map[string]string{
		"the cluster's objects": c.kubectl("get", "pods,secrets,configmaps,events", "-o", "json"),
		"Secrets":               c.kubectl("get", "secrets", "-o", `go-template={{range .items}}{{range .data}}{{.|base64decode}}{{"\n"}}{{end}}{{end}}`),
		"the containers' logs":  c.kubectl("logs", pod, "--all-containers"),
	}
	c.kubectl("exec", pod, "-c", "kernel", "--", "touch", "/tmp/seen")
	<-ended
	if status != exitDone {
		t.Fatalf("exit status %d\n%s", status, stderr)
	}

	tokens := server.Tokens()
	if len(tokens) != 1 || !slices.Equal(server.Revoked(), []int{1}) {
		t.Fatalf("%d tokens were given out, revoked %v times", len(tokens), server.Revoked())
	}
	page := pagesOf(t, filepath.Join(dir, "store", "pages", "holds", "a", "latest"))["en/index.html"]
	if digest := fmt.Sprintf("%x", sha256.Sum256([]byte(tokens[0]))); !strings.Contains(page, digest+" "+digest+" found 0: []") {
		t.Errorf("the notebook had other tokens than %s, or found its own: %s", digest, page)
	}
	seen["the agent's log"] = stderr
	git, err := exec.Command("git", "-C", filepath.Join(dir, "reports.git"), "cat-file", "--batch-all-objects", "--batch", "--unordered").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen["Git"] = string(git)
	for _, folder := range []string{"store", "state"} {
		for path, data := range bytesBelow(t, filepath.Join(dir, folder)) {
			seen[filepath.Join(folder, path)] = string(data)
		}
	}
	for place, text := range seen {
		if strings.Contains(text, tokens[0]) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(tokens[0]))[:len(tokens[0])]) {
			t.Errorf("the token stands in %s", place)
		}
	}
	if left := c.orphans(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}
