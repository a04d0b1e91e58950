package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nbpress/internal/testenv"
	"nbpress/internal/testenv/bucket"
)

// TestE2E_AgentFromItsImage deploys deploy/kubernetes into a namespace that enforces the
// restricted standard: two agents from their own image, with the rights of the Role and no
// others, publish the examples into a bucket and the ledger into Git.
func TestE2E_AgentFromItsImage(t *testing.T) {
	image := os.Getenv("NBPRESS_E2E_AGENT_IMAGE")
	if image == "" {
		t.Skip("NBPRESS_E2E_AGENT_IMAGE names no image; `make e2e` does")
	}
	c := onCluster(t)
	root := t.TempDir()
	reports := filepath.Join(root, "reports.git")
	mergeExamples(t, reports)
	git, s3 := newGitServer(t, root), bucket.Start(t)
	here := c.hereFromPods()
	config := fmt.Sprintf(`
repository: {url: "http://%s/reports.git"}
store: {s3: {bucket: %s, endpoint: "http://%s"}}
%slisten: :8080
state: /var/lib/nbpress
log: {format: json}
`, relay(t, here, git.address), bucket.Bucket, relay(t, here, s3.Address), withoutKubeconfig(c.executor(3)))
	credential := "apiVersion: v1\nkind: Secret\nmetadata: {name: nbpress-s3}\nstringData:\n"
	for _, pair := range bucket.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		credential += fmt.Sprintf("  %s: %q\n", name, value)
	}
	c.apply(credential)
	c.apply(c.kubectl("kustomize", overlayOf(t, c.namespace, image, config)))

	c.until("both agents are ready", func() bool {
		return c.kubectl("get", "deployment", "nbpress-agent", "-o", "jsonpath={.status.readyReplicas}") == "2"
	})
	c.until("a page is published", func() bool {
		found, err := filepath.Glob(filepath.Join(s3.Dir, "pages", "weekly-energy", "plant-1", "latest", "*", "index.html"))
		return err == nil && len(found) > 0
	})
	c.until("a run that failed is in the ledger", func() bool {
		for _, branch := range strings.Fields(runGit(t, reports, "for-each-ref", "--format=%(refname)", "refs/heads/runs/2*")) {
			if strings.Contains(runGit(t, reports, "log", "-p", "--format=", branch, "--", "data-quality"), "\n+status: error\n") {
				return true
			}
		}
		return false
	})
	address := c.kubectl("get", "service", "nbpress-agent", "-o", "jsonpath={.spec.clusterIP}")
	c.until("its metrics are there", func() bool { return strings.Contains(body(t, "http://"+address+"/metrics"), "nbpress_working") })

	c.kubectl("delete", "deployment", "nbpress-agent", "--wait=true", "--cascade=foreground")
	if left := c.orphans(); len(left) > 0 {
		t.Errorf("after the agents are gone there are still %v", left)
	}
}

// hereFromPods is this machine's address as pods know it: the one from which it speaks to
// the API server.
func (c *cluster) hereFromPods() string {
	c.t.Helper()
	server, err := url.Parse(c.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"))
	if err != nil {
		c.t.Fatal(err)
	}
	conn, err := net.Dial("udp", server.Host) // sends nothing
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String()
}

// relay passes on what arrives at an address of this machine, and returns it.
func relay(t *testing.T, host, to string) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				to.Close()
				from.Close()
			}
			go pass(out, in)
			go pass(in, out)
		}
	}()
	return listener.Addr().String()
}

// withoutKubeconfig leaves the agent its own account.
func withoutKubeconfig(executor string) string {
	var lines []string
	for line := range strings.SplitAfterSeq(executor, "\n") {
		if !strings.Contains(line, "kubeconfig:") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// overlayOf writes an overlay of the base in deploy/kubernetes and returns its folder.
func overlayOf(t *testing.T, namespace, image, config string) string {
	t.Helper()
	folder := t.TempDir()
	base, err := filepath.Rel(folder, filepath.Join(testenv.Root(t), "deploy", "kubernetes", "base"))
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(image, ":")
	kustomization := fmt.Sprintf(`apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: %s
resources: [%s]
images: [{name: localhost/nbpress-agent, newName: %s, newTag: %q}]
configMapGenerator: [{name: nbpress, behavior: replace, files: [nbpress.yaml]}]
`, namespace, base, image[:at], image[at+1:])
	for name, text := range map[string]string{"kustomization.yaml": kustomization, "nbpress.yaml": config} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// body is what an address answers, "" where it does not.
func body(t *testing.T, address string) string {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return ""
	}
	return string(text)
}
