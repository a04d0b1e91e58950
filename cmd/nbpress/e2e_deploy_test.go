package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nbpress/internal/testenv"
	"nbpress/internal/testenv/bucket"
)

// hostAddress is this machine's address as pods reach it: what it has on the way to the
// cluster, or $NBPRESS_E2E_HOST.
func (c *cluster) hostAddress() string {
	c.t.Helper()
	if host := os.Getenv("NBPRESS_E2E_HOST"); host != "" {
		return host
	}
	server := c.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
	address, err := url.Parse(server)
	if err != nil {
		c.t.Fatal(err)
	}
	way, err := net.Dial("udp", net.JoinHostPort(address.Hostname(), "9")) // sends nothing
	if err != nil {
		c.t.Fatal(err)
	}
	defer way.Close()
	host := way.LocalAddr().(*net.UDPAddr).IP
	if host.IsLoopback() {
		c.t.Skip("pods do not reach this machine at its loopback address: name another one in NBPRESS_E2E_HOST")
	}
	return host.String()
}

// serveGit serves the repositories below a folder at an address of this machine.
func serveGit(t *testing.T, host, folder string) (base string) {
	t.Helper()
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + folder, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=ada",
			"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"},
		Stderr: t.Output(),
	}, ReadHeaderTimeout: time.Minute}
	go server.Serve(listener)
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String()
}

// overlay is the installation of this test: deploy/kubernetes as it is, with the namespace,
// the image and nbpress.yaml of its own.
const overlay = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: %s
resources: [../../base]
images:
- name: localhost/nbpress-agent
  newName: %s
  newTag: "%s"
configMapGenerator:
- name: nbpress
  behavior: replace
  files: [nbpress.yaml]
`

// TestE2E_AgentsArePods applies deploy/kubernetes: two agents, from their own image, in
// restricted pods with the least rights. The one that works is killed in the middle of the
// examples' runs; the other does the rest. Store and ledger are all that they share.
func TestE2E_AgentsArePods(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	agentImage := os.Getenv("NBPRESS_E2E_AGENT_IMAGE")
	if agentImage == "" {
		t.Skip("NBPRESS_E2E_AGENT_IMAGE names no image of the agent")
	}
	host, root := c.hostAddress(), t.TempDir()
	mergeExamples(t, root+"/reports.git")
	git, s3 := serveGit(t, host, root), bucket.StartAt(t, host)
	name, tag, _ := strings.Cut(agentImage, ":")
	folder := filepath.Join(root, "kubernetes", "overlays", "e2e")
	err := os.CopyFS(filepath.Join(root, "kubernetes"), os.DirFS(filepath.Join(testenv.Root(t), "deploy", "kubernetes")))
	if err == nil {
		err = os.Mkdir(folder, 0o755)
	}
	for file, text := range map[string]string{
		"kustomization.yaml": fmt.Sprintf(overlay, c.namespace, name, tag),
		"nbpress.yaml": fmt.Sprintf(`repository: {url: %s/reports.git, poll: 2s}
store: {s3: {bucket: %s, endpoint: "%s", path_style: true}}
executor:
  slots: 3
  kubernetes:
    namespace: %s
    image: %s
    resources: {storage: 64Mi}
    caps: {cpu: 100m, memory: 512Mi}
listen: :8080
state: /var/lib/nbpress
grace: 5s
`, git, bucket.Bucket, s3.URL, c.namespace, c.image),
	} {
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, file), []byte(text), 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	credential := []string{"create", "secret", "generic", "nbpress-s3"}
	for _, pair := range bucket.Environ() {
		if name, value, _ := strings.Cut(pair, "="); value != "" && strings.HasPrefix(name, "AWS_") && !strings.HasSuffix(name, "FILE") {
			credential = append(credential, "--from-literal="+pair)
		}
	}
	c.kubectl(credential...)
	c.kubectl("apply", "-k", folder)
	agents := func() []string {
		return strings.Fields(c.kubectl("get", "pods", "-l", "app.kubernetes.io/component=agent", "-o", "name"))
	}
	holder := func() string { // the Lease's, as "<pod>:<state>"
		text := c.kubectl("get", "lease", "nbpress-agent", "--ignore-not-found", "-o", "jsonpath={.spec.holderIdentity}")
		pod, _, _ := strings.Cut(text, ":")
		return pod
	}
	c.until("a run's pod is there", func() bool { return strings.Contains(fmt.Sprint(c.runs()), "pod/nbpress-") })
	first := holder()
	c.kubectl("delete", "pod", first, "--grace-period=0", "--force", "--wait=false")
	killed := time.Now()
	c.until("another agent has the Lease", func() bool { now := holder(); return now != "" && now != first })
	t.Logf("taken over after %v", time.Since(killed).Round(time.Second))

	done := regexp.MustCompile(`(?m)^Run: \S+ (completed|error)$`)
	c.until("all nine runs are in the ledger", func() bool {
		log, _ := exec.Command("git", "-C", root+"/reports.git", "log", "--branches=runs/2*", "--format=%(trailers)").CombinedOutput()
		return len(done.FindAll(log, -1)) >= 9
	})
	log, _ := exec.Command("git", "-C", root+"/reports.git", "log", "--branches=runs/2*", "--format=%(trailers)").CombinedOutput()
	seen := map[string]bool{}
	for _, run := range done.FindAllString(string(log), -1) {
		if seen[run] {
			t.Errorf("doubled: %s", run)
		}
		seen[run] = true
	}
	pages, err := filepath.Glob(filepath.Join(s3.Dir, "pages/*/*/latest/*/index.html"))
	if err != nil || len(pages) == 0 {
		t.Errorf("no page in the bucket: %v", err)
	}
	t.Logf("%d runs, %d latest pages, by %d agents", len(seen), len(pages), len(agents()))
	c.until("both agents are ready", func() bool {
		return c.kubectl("get", "deployment", "nbpress-agent", "-o", "jsonpath={.status.readyReplicas}") == "2"
	})
	if left := c.orphans(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	if t.Failed() {
		t.Log(c.kubectl("logs", "-l", "app.kubernetes.io/component=agent", "--tail=60"))
	}
}
