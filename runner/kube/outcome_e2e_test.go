package kube

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nbpress/runner"
	"nbpress/runner/report"
	"nbpress/runner/runnertest"
)

// TestE2E_WhatARunWroteIsKept: a notebook that takes too much memory has had its chance. Who
// looks into its run finds the cells that it had done and what it had said.
func TestE2E_WhatARunWroteIsKept(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	o := c.options()
	o.Slots = 1
	b := noted("greedy", "import os\nprint('as far as here')\nos.write(2, b'said to nobody')", hog)
	store := &runnertest.Memory{}
	m := c.runs(o, store, func() {}, b)[0]
	if m.Status != runner.StatusError || m.Error.Code != runner.OOMKilled || len(m.Attempts) != 1 {
		t.Errorf("it ended as %s after %d attempts: %+v", m.Status, len(m.Attempts), m.Error)
	}
	kept := map[string]string{}
	for _, a := range m.Artifacts {
		kept[a.Name] = store.Objects()[a.Key]
	}
	for name, want := range map[string]string{"executed.ipynb": "as far as here", "kernel.log": "said to nobody"} {
		if !strings.Contains(kept[name], want) {
			t.Errorf("%s lacks %q: %q", name, want, kept[name])
		}
	}
}

// TestE2E_APodThatIsDeletedIsReplaced: what happens to a pod is not its notebook's fault.
func TestE2E_APodThatIsDeletedIsReplaced(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	o := c.options()
	o.Slots = 1
	b := noted("innocent", "import time\ntime.sleep(15)\nopen('output.json', 'w').write('{}')")
	m := c.runs(o, &runnertest.Memory{}, func() {
		c.eventually("its first pod is deleted while it runs", func() bool {
			pods, err := c.client.pods.List(t.Context(), metav1.ListOptions{LabelSelector: labelAttempt + "=1"})
			c.must(err)
			if len(pods.Items) == 0 || pods.Items[0].Status.Phase != corev1.PodRunning {
				return false
			}
			c.must(deletePod(t.Context(), c.client, pods.Items[0].Name, pods.Items[0].UID, 1))
			return true
		})
	}, b)[0]
	if m.Status != runner.StatusCompleted || len(m.Attempts) != 2 {
		t.Fatalf("it ended as %s after %d attempts: %+v", m.Status, len(m.Attempts), m.Error)
	}
	if first := m.Attempts[0]; first.Ended != string(runner.PodDeleted) {
		t.Errorf("its first attempt ended as %s, want %s: %s", first.Ended, runner.PodDeleted, first.Message)
	}
}

// noted is a report with one asset and a notebook of these cells.
func noted(name string, cells ...string) *report.Bundle {
	b := tiny(name, 1)
	b.Files[report.NotebookFile] = runnertest.Notebook(cells...)
	return b
}
