package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"nbpress/runner"
)

// This file makes a cluster fail in each way that a run can meet.

func TestE2E_FailuresOfTheStart(t *testing.T) {
	for _, test := range []struct {
		name    string
		options func(*Options)
		spec    func(*runner.Spec)
		prepare func(*cluster)
		want    runner.Code
		message []string
	}{
		{
			name: "no node has what the pod wants", options: func(o *Options) { o.NodeSelector = map[string]string{"nbpress/no-such": "node"} },
			want: runner.Unschedulable, message: []string{"no node takes the pod", "0/"},
		},
		{
			name: "no node has the memory", spec: func(s *runner.Spec) { s.Memory = 1 << 50 },
			want: runner.Unschedulable, message: []string{"Insufficient memory"},
		},
		{
			name: "no such image", spec: func(s *runner.Spec) { s.Image = "localhost:1/no-such:image" },
			want: runner.ImagePull, message: []string{"localhost:1/no-such:image", `"kernel"`},
		},
		{
			name: "no image's name", spec: func(s *runner.Spec) { s.Image = "UPPER CASE" },
			want: runner.ImagePull, message: []string{"InvalidImageName"},
		},
		{
			name: "no quota", prepare: func(c *cluster) { c.quota(0) },
			want: runner.QuotaExceeded, message: []string{"exceeded quota"},
		},
		{
			name: "no such runtime", options: func(o *Options) { o.RuntimeClass = "no-such" },
			want: runner.Internal, message: []string{"no-such"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := onCluster(t)
			o, spec := c.options(), c.spec()
			o.Patience = 3 * time.Second
			if test.options != nil {
				test.options(&o)
			}
			if test.spec != nil {
				test.spec(&spec)
			}
			if test.prepare != nil {
				test.prepare(c)
			}
			box, err := c.open(o).Start(t.Context(), spec)
			failure := c.failure(box, err)
			c.says(failure.Code, failure.Message, test.want, test.message...)
			if left := c.remains(""); len(left) > 0 {
				t.Errorf("what did not start left %q", left)
			}
		})
	}
}

// quota lets the namespace have so many pods.
func (c *cluster) quota(pods int64) {
	c.Helper()
	hard := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(pods, resource.DecimalSI)}
	c.must(c.client.core.Post().Namespace(c.namespace).Resource("resourcequotas").Body(&corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "tests"}, Spec: corev1.ResourceQuotaSpec{Hard: hard},
	}).Do(c.Context()).Error())
	c.eventually("the quota is in force", func() bool {
		var quota corev1.ResourceQuota
		c.must(c.client.core.Get().Namespace(c.namespace).Resource("resourcequotas").Name("tests").Do(c.Context()).Into(&quota))
		return len(quota.Status.Hard) > 0
	})
}

func TestE2E_FailuresOfAContainersConfiguration(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	e := c.open(c.options())
	spec := c.spec()
	owner, err := e.owner(t.Context())
	c.must(err)
	wanted := podFor(spec, e.o, owner, time.Now())
	wanted.Spec.Containers[0].Env = append(wanted.Spec.Containers[0].Env, corev1.EnvVar{Name: "X", ValueFrom: &corev1.EnvVarSource{
		SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "no-such"}, Key: "key"},
	}})
	pod, err := c.client.pods.Create(t.Context(), wanted, metav1.CreateOptions{})
	c.must(err)
	_, err = c.client.secrets.Create(t.Context(), secretFor(pod, nil, "key"), metav1.CreateOptions{})
	c.must(err)
	s := e.newSandbox(pod.Name)
	s.setPod(pod.UID)
	defer c.close(s)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = s.awaitRunning(ctx)
	failure := c.failure(nil, err)
	c.says(failure.Code, failure.Message, runner.SecretMissing, "CreateContainerConfigError", `"no-such" not found`)
}

// endless runs until something ends it.
const endless = "import time; time.sleep(600)"

func TestE2E_FailuresOfAPodAtWork(t *testing.T) {
	for _, test := range []struct {
		name    string
		options func(*Options)
		spec    func(*runner.Spec)
		cell    string
		hurt    func(*cluster, *sandbox)
		want    runner.Code
		message []string
		kept    bool // the desk lives on
	}{
		{
			name: "out of memory", cell: hog,
			want: runner.OOMKilled, message: []string{"256 MiB"}, kept: true,
		},
		{
			name: "a process of the notebook's is out of memory", cell: "import os, time\nif os.fork(): time.sleep(600)\n" + hog,
			want: runner.OOMKilled, message: []string{"256 MiB"}, kept: true,
		},
		{
			name: "somebody deletes the pod", hurt: func(c *cluster, s *sandbox) { c.must(deletePod(c.Context(), c.client, s.name, s.pod(), 1)) },
			want: runner.PodDeleted, message: []string{"deleted the pod"},
		},
		{
			name: "its node is drained", hurt: func(c *cluster, s *sandbox) { c.evict(s.name) },
			want: runner.Evicted, message: []string{"drained"},
		},
		{
			name: "too much on the disk", cell: "f = open('big', 'wb')\nfor _ in range(512): f.write(bytes(1 << 20))\nf.flush()\n" + endless,
			want: runner.Evicted, message: []string{"evicted"},
		},
		{
			name: "past its deadline", spec: func(s *runner.Spec) { s.Deadline = time.Now().Add(2 * time.Minute) }, // by when the cell runs
			want: runner.RunTimeout, message: []string{"activeDeadlineSeconds"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := onCluster(t)
			o, spec, cell := c.options(), c.spec(), endless
			if test.spec != nil {
				test.spec(&spec)
			}
			if test.cell != "" {
				cell = test.cell
			}
			box := c.start(c.open(o), spec)
			c.must(box.Put(t.Context(), fstest.MapFS{"bundle.txt": {Data: []byte("from the bundle")}}))
			n := c.run(box, "open('written.txt', 'w').write('by the notebook'); print('printed')", cell)
			if test.hurt != nil {
				test.hurt(c, box)
			}
			failure, told := c.ends(n), time.Now()
			c.says(failure.Code, failure.Message, test.want, test.message...)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if test.kept {
				c.must(box.StopKernel(ctx))
				data, err := box.Get(ctx, "written.txt", 100)
				if err != nil || string(data) != "by the notebook" {
					t.Errorf("what the notebook wrote reads %q, %v", data, err)
				}
				c.toldSoon(ctx, box, told)
			} else {
				_, err := box.Get(ctx, "written.txt", 100)
				failure := c.failure(nil, err)
				c.says(failure.Code, failure.Message, test.want, test.message...)
			}
			c.close(box)
			if left := c.remains(""); len(left) > 0 {
				t.Errorf("the closed sandbox left %q", left)
			}
		})
	}
}

// hog takes memory until it is killed, and keeps the time of its latest life in a file.
const hog = `
import os, time
alive = os.open("alive", os.O_CREAT | os.O_WRONLY)
hog = []
while True:
    hog.append(bytes(range(256)) * 4096)
    os.pwrite(alive, b"%020d" % time.time_ns(), 0)
`

// toldSoon checks how long after the end of hog we were told of it. The promise is a second;
// the bound is for machines that are slow.
func (c *cluster) toldSoon(ctx context.Context, box *sandbox, told time.Time) {
	c.Helper()
	data, err := box.Get(ctx, "alive", 100)
	c.must(err)
	nanoseconds, err := strconv.ParseInt(string(data), 10, 64)
	c.must(err)
	took := told.Sub(time.Unix(0, nanoseconds))
	c.Logf("told %v after the kill", took.Round(time.Millisecond))
	if took > 5*time.Second {
		c.Error("that is too late")
	}
}

// evict does what kubectl drain does.
func (c *cluster) evict(pod string) {
	c.Helper()
	eviction := fmt.Sprintf(`{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": %q, "namespace": %q}}`, pod, c.namespace)
	c.must(c.client.core.Post().Namespace(c.namespace).Resource("pods").Name(pod).SubResource("eviction").
		SetHeader("Content-Type", "application/json").Body([]byte(eviction)).Do(c.Context()).Error())
}

// as makes the options' cluster see another user than the tests', who may do what the rules
// say in the namespace.
func (c *cluster) as(o Options, user string, rules ...map[string]any) Options {
	c.Helper()
	c.grant(user, rules...)
	text, err := os.ReadFile(c.kubeconfig)
	c.must(err)
	config, err := clientcmd.Load(text)
	c.must(err)
	for _, auth := range config.AuthInfos {
		auth.Impersonate = user
	}
	o.Kubeconfig = filepath.Join(c.TempDir(), "kubeconfig")
	c.must(clientcmd.WriteToFile(*config, o.Kubeconfig))
	return o
}

// grant gives a user rights in the namespace, instead of those that it had.
func (c *cluster) grant(user string, rules ...map[string]any) {
	c.Helper()
	for resource, object := range map[string]map[string]any{
		"roles": {"kind": "Role", "rules": rules},
		"rolebindings": {
			"kind":     "RoleBinding",
			"subjects": []any{map[string]string{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}},
			"roleRef":  map[string]string{"kind": "Role", "name": user, "apiGroup": "rbac.authorization.k8s.io"},
		},
	} {
		object["apiVersion"], object["metadata"] = "rbac.authorization.k8s.io/v1", map[string]string{"name": user}
		body, err := json.Marshal(object)
		c.must(err)
		path := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + c.namespace + "/" + resource + "/" + user
		c.must(c.client.core.Patch(types.ApplyPatchType).AbsPath(path).Param("fieldManager", "tests").Param("force", "true").Body(body).Do(c.Context()).Error())
	}
}

func rule(resources []string, verbs ...string) map[string]any {
	return map[string]any{"apiGroups": []string{""}, "resources": resources, "verbs": verbs}
}

func TestE2E_NewNamesTheRightsThatAreMissing(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	o := c.as(c.options(), "stranger", rule([]string{"pods"}, "get", "list", "watch"))
	e, err := New(t.Context(), o)
	if err == nil {
		e.Close()
		t.Fatal("it opens")
	}
	for _, want := range []string{"create pods", "delete pods", "create pods/exec", "create secrets", "create configmaps", c.namespace} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "watch pods") {
		t.Errorf("%v: that is allowed", err)
	}
}

func TestE2E_FailuresOfCommandsThatAreRefused(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	most := []map[string]any{
		rule([]string{"pods"}, "create", "get", "list", "watch", "delete"), rule([]string{"secrets"}, "create", "delete"),
		rule([]string{"configmaps"}, "create", "get"),
	}
	o := c.as(c.options(), "agent", append(most, rule([]string{"pods/exec"}, "create", "get"))...)
	box := c.start(c.open(o), c.spec())
	c.must(box.Put(t.Context(), fstest.MapFS{"a": {Data: []byte("b")}}))
	c.grant("agent", most...)
	var err error
	c.eventually("the right is taken away", func() bool {
		_, err = box.Get(t.Context(), "a", 10)
		return err != nil
	})
	failure := c.failure(nil, err)
	c.says(failure.Code, failure.Message, runner.Internal, "pods/exec", "rights")
}
