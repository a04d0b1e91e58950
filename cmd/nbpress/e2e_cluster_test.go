package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// e2ePatience bounds every wait for a cluster. Machines of tests are slow and shared.
const e2ePatience = 5 * time.Minute

// cluster is a namespace of a test's own on the cluster of $KUBECONFIG.
type cluster struct {
	t                            *testing.T
	kubeconfig, namespace, image string
}

// onCluster skips a test where there is no cluster to run it on.
func onCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, kubeconfig: os.Getenv("KUBECONFIG"), image: os.Getenv("NBPRESS_E2E_IMAGE"),
		namespace: "nbpress-" + strings.ToLower(rand.Text()[:10])}
	if c.kubeconfig == "" || c.image == "" {
		t.Skip("KUBECONFIG and NBPRESS_E2E_IMAGE name no cluster and no image; `make e2e` does")
	}
	t.Cleanup(func() { c.kubectl("delete", "namespace", c.namespace, "--wait=false") })
	c.apply(fmt.Sprintf(`{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": %q,
		"labels": {"pod-security.kubernetes.io/enforce": "restricted", "nbpress-test": "true"}}}`, c.namespace))
	c.until("the namespace has its service account", func() bool { // no pod is admitted before
		return c.kubectl("get", "serviceaccount", "default", "--ignore-not-found", "-o", "name") != ""
	})
	return c
}

// kubectl runs kubectl in the namespace and returns what it printed.
func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	out, err := c.try(nil, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *cluster) try(stdin []byte, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), e2ePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kubectl", append([]string{"--kubeconfig", c.kubeconfig, "-n", c.namespace}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %v: %w: %s", args, err, said.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// apply makes objects of their text.
func (c *cluster) apply(objects string) {
	c.t.Helper()
	if _, err := c.try([]byte(objects), "apply", "-f", "-"); err != nil {
		c.t.Fatal(err)
	}
}

// until waits for something.
func (c *cluster) until(what string, holds func() bool) {
	c.t.Helper()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(e2ePatience); !holds(); {
		select {
		case <-tick.C:
		case <-late:
			c.t.Fatalf("after %v still not: %s\n%s", e2ePatience, what, c.kubectl("get", "pods,events", "-o", "wide"))
		}
	}
}

// runs lists the pods and Secrets of runs, those that are being removed too.
func (c *cluster) runs() []string {
	c.t.Helper()
	return strings.Fields(c.kubectl("get", "pods,secrets", "-l", "app.kubernetes.io/managed-by=nbpress", "-o", "name"))
}

// orphanPatience is how soon nothing may be left of runs that have ended, or whose agent
// was killed and started again.
const orphanPatience = time.Minute

// orphans lists what is left of runs in the cluster.
func (c *cluster) orphans() []string {
	c.t.Helper()
	deadline := time.Now().Add(orphanPatience)
	var left []string
	for left = c.runs(); len(left) > 0 && time.Now().Before(deadline); left = c.runs() {
		_ = wait(c.t.Context(), 500*time.Millisecond) // they may be ending
	}
	return left
}

// executor is the engine as nbpress.yaml has it, for small pods.
func (c *cluster) executor(slots int) string {
	return fmt.Sprintf(`executor:
  slots: %d
  kubernetes:
    kubeconfig: %s
    namespace: %s
    image: %s
    images: ["localhost/nbpress-*:dev"]
    resources: {cpu: 50m, memory: 256Mi, storage: 64Mi}
`, slots, c.kubeconfig, c.namespace, c.image)
}

// config writes an nbpress.yaml with the engine for commands.
func (c *cluster) config(more string) string {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), "nbpress.yaml")
	text := more + c.executor(2)
	if more == "" {
		text = "repository: {url: reports.git}\nstore: {dir: store}\n" + text
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return path
}
