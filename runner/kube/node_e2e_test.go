package kube

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"nbpress/internal/testenv"
	"nbpress/runner"
)

// nodePatience is how long after the cluster's own word a node's silence may be told.
const nodePatience = 10 * time.Second

// TestE2E_NodeLost stops the node's kubelet in the middle of a cell. It needs a development
// cluster that is nobody else's meanwhile, which $NBPRESS_E2E_NODE_CLUSTER says of the one
// of $KUBECONFIG.
func TestE2E_NodeLost(t *testing.T) {
	if os.Getenv("NBPRESS_E2E_NODE_CLUSTER") == "" {
		t.Skip("NBPRESS_E2E_NODE_CLUSTER does not say that the node of the development cluster may fall silent")
	}
	c := onCluster(t)
	box := c.start(c.open(c.options()), c.spec())
	c.must(box.Put(t.Context(), fstest.MapFS{"in": {}}))
	n := c.run(box, endless)

	t.Cleanup(func() { c.kubelet("CONT") })
	c.kubelet("STOP")
	c.eventually("the cluster says that the node is silent", func() bool { return !c.ready(box.node) })
	said := time.Now()
	failure := c.ends(n)
	took := time.Since(said)
	c.says(failure.Code, failure.Message, runner.NodeLost, "node "+box.node, "not ready")
	t.Logf("told %v after the cluster's word", took.Round(time.Millisecond))
	if took > nodePatience {
		t.Errorf("that is more than %v", nodePatience)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := box.Get(ctx, "in", 10)
	failure = c.failure(nil, err)
	c.says(failure.Code, failure.Message, runner.NodeLost)

	c.kubelet("CONT")
	c.eventually("the node is back", func() bool { return c.ready(box.node) })
	c.close(box)
	if left := c.remains(""); len(left) > 0 {
		t.Errorf("the closed sandbox left %q", left)
	}
}

// kubelet sends a signal to the kubelet of the development cluster.
func (c *cluster) kubelet(signal string) {
	c.Helper()
	cmd := exec.Command(filepath.Join(testenv.Root(c), "deploy", "devcluster", "devcluster"), "signal", "kubelet", signal)
	cmd.Env = append(os.Environ(), "DEVCLUSTER_DIR="+filepath.Dir(c.kubeconfig))
	if out, err := cmd.CombinedOutput(); err != nil {
		c.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// ready reports whether a node is ready in the cluster's own word.
func (c *cluster) ready(name string) bool {
	c.Helper()
	var node corev1.Node
	c.must(c.client.core.Get().Resource("nodes").Name(name).Do(c.Context()).Into(&node))
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
