package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nbpress/internal/strict"
	"nbpress/runner/report"
)

func TestKubernetesConfig_AllowsImages(t *testing.T) {
	for _, test := range []struct {
		pattern, image string
		want           bool
	}{
		{"registry.example.com/kernel:1", "registry.example.com/kernel:1", true},
		{"registry.example.com/kernel:1", "registry.example.com/kernel:12", false},
		{"registry.example.com/kernel:*", "registry.example.com/kernel:1.4", true},
		{"registry.example.com/kernel:*", "registry.example.com/kernel", false},
		{"registry.example.com/*", "registry.example.com/kernel:1", true},
		{"registry.example.com/*", "registry.example.com/team/kernel:1", false},
		{"registry.example.com/**", "registry.example.com/team/kernel:1", true},
		{"registry.example.com/**", "registry.example.com", false},
		{"registry.example.com/team/**", "registry.example.com/other/kernel", false},
		{"*.example.com/**", "eu.example.com/a/b", true},
		{"*.example.com/kernel", "evil.org/x.example.com/kernel", false},
		{"*.example.com/**", "evil.org/x.example.com/kernel", false},
		{"registry.example.com/kernel@sha256:*", "registry.example.com/kernel@sha256:0a1b", true},
		{"[", "[", false},
	} {
		if got := matchesImage(test.pattern, test.image); got != test.want {
			t.Errorf("%s of %s: %v", test.image, test.pattern, got)
		}
	}
}

// readExecutor reads a configuration with this executor.
func readExecutor(t *testing.T, executor string) (config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nbpress.yaml")
	text := "repository: {url: reports.git}\nstore: {dir: store}\nexecutor:\n" + executor
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return readConfig(path)
}

func TestKubernetesConfig_FillsInDefaults(t *testing.T) {
	c, err := readExecutor(t, "  kubernetes: {namespace: reports, image: kernel, kubeconfig: cluster.yaml, caps: {cpu: 250m, memory: 512Mi}}\n")
	if err != nil {
		t.Fatal(err)
	}
	k := c.Executor.Kubernetes
	if c.Executor.Slots != 10 || !filepath.IsAbs(k.Kubeconfig) {
		t.Errorf("slots %d, kubeconfig %q", c.Executor.Slots, k.Kubeconfig)
	}
	if k.Resources.CPU != 250 || k.Resources.Memory != 512<<20 {
		t.Errorf("a report that asks for nothing gets more than one that asks: %+v", k.Resources)
	}
	if got, want := k.caps(), (report.Resources{MilliCPU: 250, Memory: 512 << 20}); got != want {
		t.Errorf("caps %+v, want %+v", got, want)
	}
}

func TestKubernetesConfig_PrescribesWhoPodsRunAs(t *testing.T) {
	for text, want := range map[string]int64{"": 0, ", user: 65532": 65532} {
		c, err := readExecutor(t, "  kubernetes: {namespace: reports, image: kernel"+text+"}\n")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Executor.Kubernetes.options(1, nil).User; got != want {
			t.Errorf("with %q: %d, want %d", text, got, want)
		}
	}
}

func TestKubernetesConfig_NamesItsMistakes(t *testing.T) {
	const kube = "  kubernetes:\n    namespace: reports\n    image: kernel\n"
	for _, test := range []struct{ executor, want string }{
		{"  kubernetes: {}\n", `executor.kubernetes`},
		{kube + "    kubeconfg: x\n", `nbpress.yaml:7:5: unknown key "kubeconfg"; did you mean "kubeconfig"?`},
		{kube + "    context: x\n", `nbpress.yaml:7:5: "context" is one of a kubeconfig, and none is named; add "kubeconfig", or remove it`},
		{"  local: {}\n" + kube, `nbpress.yaml:5:3: "local" and "kubernetes" are both given, and an agent has one engine; keep one of them`},
		{kube + "    resources: {memory: 2Gi}\n    caps: {memory: 1Gi}\n", `nbpress.yaml:7:25: "resources.memory" is more than "caps.memory"; it can be as much at most`},
		{kube + "    images: [\"a/**/b\"]\n", `nbpress.yaml:7:14: "a/**/b" is no pattern of images; write one such as`},
		{kube + "    namespace: reports\n", `duplicate key "namespace"`},
		{kube + "    tolerations: [{value: x}]\n", `nbpress.yaml:7:19: a toleration without "key" is one of every taint`},
		{kube + "    tolerations: [{key: a, operator: Exists, value: x}]\n", `nbpress.yaml:7:19: a toleration with "operator": "Exists" has no value; remove "value"`},
		{kube + "    tolerations: [{key: a, operator: Exists, seconds: 3}]\n", `"seconds" belongs to "effect": "NoExecute"`},
		{kube + "    instance: Reports\n", `"executor.kubernetes.instance" must be at most 30 lower-case letters, digits and -, first a letter; it is "Reports"`},
		{kube + "    user: 0\n", `"executor.kubernetes.user" must be a user's number, from 1 on; it is 0`},
		{kube + "    resources: {cpu: lots}\n", `"executor.kubernetes.resources.cpu" must be cores such as "1" or "500m"; it is "lots"`},
	} {
		_, err := readExecutor(t, test.executor)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s\ngot %v\nwant %s", test.executor, err, test.want)
		}
	}
}

func TestQuantities_ReadBackAsTheyAreWritten(t *testing.T) {
	for _, text := range []string{"1Gi", "512Mi", "1536Mi", "3Ki", "1000"} {
		if n, err := strict.ParseBytes(text); err != nil || n.String() != text {
			t.Errorf("%s became %s, %v", text, n, err)
		}
	}
	for _, text := range []string{"2", "500m", "1500m"} {
		if n, err := strict.ParseMilliCPU(text); err != nil || n.String() != text {
			t.Errorf("%s became %s, %v", text, n, err)
		}
	}
}
