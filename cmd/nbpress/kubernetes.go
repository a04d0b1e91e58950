package main

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"nbpress/internal/strict"
	"nbpress/runner/kube"
	"nbpress/runner/report"
)

// kubernetesConfig is executor.kubernetes of nbpress.yaml.
type kubernetesConfig struct {
	Kubeconfig string `json:"kubeconfig"` // "": we are a pod of the cluster
	Context    string `json:"context"`
	Namespace  string `json:"namespace"`
	Instance   string `json:"instance"`
	Forward    bool   `json:"forward"`

	Image  string   `json:"image"`
	Images []string `json:"images"`

	RuntimeClass  string             `json:"runtime_class"`
	PriorityClass string             `json:"priority_class"`
	NodeSelector  map[string]string  `json:"node_selector"`
	Tolerations   []tolerationConfig `json:"tolerations"`
	PullSecrets   []string           `json:"pull_secrets"`
	User          int64              `json:"user"` // 0: each pod has its own

	Resources struct {
		CPU     strict.MilliCPU `json:"cpu"`
		Memory  strict.Bytes    `json:"memory"`
		Storage strict.Bytes    `json:"storage"`
	} `json:"resources"`
	Caps struct {
		CPU    strict.MilliCPU `json:"cpu"`
		Memory strict.Bytes    `json:"memory"`
	} `json:"caps"`
	StartTimeout strict.Duration `json:"start_timeout"`
	Patience     strict.Duration `json:"patience"`
}

// tolerationConfig is one of a pod's tolerations, in Kubernetes' words.
type tolerationConfig struct {
	Key      string `json:"key"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
	Effect   string `json:"effect"`
	Seconds  *int64 `json:"seconds"`
}

// kubernetesProblems are the mistakes in executor.kubernetes that a schema cannot see.
func (c *config) kubernetesProblems(doc *strict.Document) []strict.Problem {
	const key = "/executor/kubernetes"
	k := c.Executor.Kubernetes
	if k == nil {
		return nil
	}
	var problems []strict.Problem
	wrong := func(at strict.Position, what, do string) { problems = append(problems, at.Problem(what, do)) }
	if !doc.Lacks("/executor/local") {
		wrong(doc.AtKey(key), `"local" and "kubernetes" are both given, and an agent has one engine`, "keep one of them")
	}
	if k.Context != "" && k.Kubeconfig == "" {
		wrong(doc.AtKey(key+"/context"), `"context" is one of a kubeconfig, and none is named`, `add "kubeconfig", or remove it`)
	}
	for i, pattern := range k.Images {
		if _, err := path.Match(strings.TrimSuffix(pattern, "/**"), ""); err != nil || strings.Contains(strings.TrimSuffix(pattern, "/**"), "**") {
			wrong(doc.At(key+strict.Pointer("images", i)), fmt.Sprintf("%q is no pattern of images", pattern), `write one such as "registry.example.com/reports/*" or, with all below, "registry.example.com/**"`)
		}
	}
	for i, t := range k.Tolerations {
		at := doc.At(key + strict.Pointer("tolerations", i))
		switch {
		case t.Key == "" && t.Operator != "Exists":
			wrong(at, `a toleration without "key" is one of every taint, and has "operator": "Exists"`, `add "key", or "operator": "Exists"`)
		case t.Operator == "Exists" && t.Value != "":
			wrong(at, `a toleration with "operator": "Exists" has no value`, `remove "value"`)
		case t.Seconds != nil && t.Effect != "NoExecute":
			wrong(at, `"seconds" belongs to "effect": "NoExecute"`, `remove "seconds"`)
		}
	}
	if caps := k.Caps; caps.CPU > 0 && k.Resources.CPU > caps.CPU {
		wrong(doc.At(key+"/resources/cpu"), `"resources.cpu" is more than "caps.cpu"`, "it can be as much at most")
	}
	if caps := k.Caps; caps.Memory > 0 && k.Resources.Memory > caps.Memory {
		wrong(doc.At(key+"/resources/memory"), `"resources.memory" is more than "caps.memory"`, "it can be as much at most")
	}
	return problems
}

// complete makes paths absolute and fills in the defaults that caps may lower; all others
// are runner/kube's.
func (k *kubernetesConfig) complete(dir string) {
	k.Kubeconfig = under(dir, k.Kubeconfig)
	if k.Resources.CPU == 0 {
		k.Resources.CPU = min(kube.DefaultMilliCPU, cmp.Or(k.Caps.CPU, kube.DefaultMilliCPU))
	}
	if k.Resources.Memory == 0 {
		k.Resources.Memory = min(kube.DefaultMemory, cmp.Or(k.Caps.Memory, kube.DefaultMemory))
	}
}

// caps are what a report gets at most.
func (k *kubernetesConfig) caps() report.Resources {
	return report.Resources{MilliCPU: int64(k.Caps.CPU), Memory: int64(k.Caps.Memory)}
}

// checkImage refuses an image that the operator does not let reports name.
func (k *kubernetesConfig) checkImage(image string) error {
	allowed := append([]string{k.Image}, k.Images...)
	if slices.ContainsFunc(allowed, func(pattern string) bool { return matchesImage(pattern, image) }) {
		return nil
	}
	return fmt.Errorf("the operator does not allow the image %q; use one of %s, or ask for it (executor.kubernetes.images)", image, strings.Join(allowed, ", "))
}

// matchesImage reports whether an image is one of a pattern's. Wildcards do not cross a
// slash, or a registry's name could be part of another's path; only a last /** stands for
// everything below.
func matchesImage(pattern, image string) bool {
	if above, ok := strings.CutSuffix(pattern, "/**"); ok {
		parts := strings.Split(image, "/")
		n := strings.Count(above, "/") + 1
		if len(parts) <= n {
			return false
		}
		pattern, image = above, strings.Join(parts[:n], "/")
	}
	matches, err := path.Match(pattern, image)
	return matches && err == nil
}
