package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"nbpress/internal/testenv"
)

// These tests hold deploy/kubernetes against the code that is deployed with it.

func TestDeployment_MeetsTheRestrictedStandard(t *testing.T) {
	judge, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	pod := agentDeployment(t).Spec.Template
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range judge.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			t.Errorf("the standard does not allow the agent's pod: %s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
	for _, c := range pod.Spec.Containers { // what the standard does not look at
		if c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
			t.Errorf("container %s may write to its root", c.Name)
		}
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
			if c.Resources.Requests.Name(name, "").IsZero() || c.Resources.Limits.Name(name, "").IsZero() {
				t.Errorf("container %s: %s is not both requested and limited", c.Name, name)
			}
		}
	}
}

// TestRole_HoldsWhatTheAgentDoes wants of the Role what New and Elect ask for: no right
// less, and none more.
func TestRole_HoldsWhatTheAgentDoes(t *testing.T) {
	var role rbacv1.Role
	object(t, "role.yaml", &role)
	var got []string
	for _, rule := range role.Rules {
		if len(rule.ResourceNames) > 0 || len(rule.NonResourceURLs) > 0 {
			t.Errorf("rule %v is narrower than this test knows", rule)
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					got = append(got, right{group, resource, verb}.String())
				}
			}
		}
	}
	want := []string{"get leases", "create leases", "update leases"}
	for _, r := range rightsOf(false) {
		want = append(want, r.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rights of the Role (-needed +given):\n%s", diff)
	}
	var binding rbacv1.RoleBinding
	object(t, "role.yaml", &binding)
	var account corev1.ServiceAccount
	object(t, "serviceaccount.yaml", &account)
	if user := agentDeployment(t).Spec.Template.Spec.ServiceAccountName; user != account.Name || binding.RoleRef.Name != role.Name ||
		len(binding.Subjects) != 1 || binding.Subjects[0].Name != account.Name {
		t.Errorf("the agent runs as %q; %v gets %s", user, binding.Subjects, binding.RoleRef.Name)
	}
}

// TestNetworkPolicies_KeepSandboxesApart holds the policies against the labels and ports
// of pods as they are made.
func TestNetworkPolicies_KeepSandboxesApart(t *testing.T) {
	sandbox := labels.Set{labelManagedBy: managedBy, labelInstance: "weekly", labelComponent: componentPod, labelRun: "r"}
	agent := labels.Set(agentDeployment(t).Spec.Template.Labels)
	var apart networkingv1.NetworkPolicy
	object(t, "networkpolicies.yaml", &apart)
	if !selects(t, &apart.Spec.PodSelector, sandbox) || selects(t, &apart.Spec.PodSelector, agent) {
		t.Errorf("policy %s is for %v, want it for sandboxes alone", apart.Name, apart.Spec.PodSelector)
	}
	if len(apart.Spec.PolicyTypes) != 2 || len(apart.Spec.Egress) != 0 {
		t.Errorf("policy %s lets sandboxes out: %v", apart.Name, apart.Spec.Egress)
	}
	if len(apart.Spec.Ingress) != 1 || len(apart.Spec.Ingress[0].From) != 1 || len(apart.Spec.Ingress[0].Ports) != 1 {
		t.Fatalf("policy %s has another form: %v", apart.Name, apart.Spec.Ingress)
	}
	from, ports := apart.Spec.Ingress[0].From[0], apart.Spec.Ingress[0].Ports[0]
	if !selects(t, from.PodSelector, agent) || selects(t, from.PodSelector, sandbox) || from.NamespaceSelector != nil || from.IPBlock != nil {
		t.Errorf("policy %s lets in %v, want the agents alone", apart.Name, from)
	}
	if ports.Port.IntVal != portLeash || *ports.EndPort != portHeartbeat {
		t.Errorf("policy %s opens the ports %v to %v, want %d to %d", apart.Name, ports.Port, *ports.EndPort, portLeash, portHeartbeat)
	}

	var out networkingv1.NetworkPolicy
	object(t, "../components/kernel-egress/networkpolicy.yaml", &out)
	if !selects(t, &out.Spec.PodSelector, sandbox) || selects(t, &out.Spec.PodSelector, agent) {
		t.Errorf("policy %s is for %v, want it for sandboxes alone", out.Name, out.Spec.PodSelector)
	}
	for _, rule := range out.Spec.Egress {
		for _, peer := range rule.To {
			if peer.IPBlock != nil && peer.IPBlock.CIDR == "0.0.0.0/0" && !slices.Contains(peer.IPBlock.Except, "169.254.0.0/16") {
				t.Errorf("policy %s lets sandboxes reach metadata addresses", out.Name)
			}
		}
	}
}

func TestDisruptionBudget_AndAffinityAreTheAgents(t *testing.T) {
	deployment := agentDeployment(t)
	agent := labels.Set(deployment.Spec.Template.Labels)
	var budget policyv1.PodDisruptionBudget
	object(t, "disruptionbudget.yaml", &budget)
	if !selects(t, budget.Spec.Selector, agent) || budget.Spec.MinAvailable.IntVal >= *deployment.Spec.Replicas {
		t.Errorf("the budget %v would keep nodes from being emptied, or is nobody's", budget.Spec)
	}
	for _, term := range deployment.Spec.Template.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
		if !selects(t, term.PodAffinityTerm.LabelSelector, agent) {
			t.Errorf("agents keep away from %v, not from each other", term.PodAffinityTerm.LabelSelector)
		}
	}
	var service corev1.Service
	object(t, "service.yaml", &service)
	if !labels.SelectorFromSet(service.Spec.Selector).Matches(agent) {
		t.Errorf("the service is for %v", service.Spec.Selector)
	}
}

// TestE2E_ManifestsAreAccepted has a real API server judge every object of the example, in
// a namespace that enforces the restricted standard.
func TestE2E_ManifestsAreAccepted(t *testing.T) {
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		t.Skip("no KUBECONFIG: no cluster")
	}
	kubectl := func(stdin string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "kubectl", args...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	overlay := t.TempDir()
	namespace := "nbpress-deploy-" + rand.String(6)
	root, err := filepath.Rel(overlay, filepath.Join(testenv.Root(t), "deploy", "kubernetes", "overlays", "example"))
	if err != nil {
		t.Fatal(err)
	}
	kustomization := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: " + namespace + "\nresources: [" + root + "]\n"
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(kustomization), 0o644); err != nil {
		t.Fatal(err)
	}
	all := kubectl("", "kustomize", overlay)
	space, _, _ := strings.Cut(all, "\n---\n")
	if !strings.Contains(space, "kind: Namespace") {
		t.Fatalf("the first object is no Namespace:\n%s", space)
	}
	t.Cleanup(func() { kubectl("", "delete", "namespace", namespace, "--ignore-not-found", "--wait=false") })
	kubectl(space, "apply", "-f", "-")
	accepted := kubectl(all, "apply", "--dry-run=server", "-f", "-")
	if strings.Contains(accepted, "Warning") {
		t.Errorf("the API server warns:\n%s", accepted)
	}
	if got, want := strings.Count(accepted, "(server dry run)"), strings.Count(all, "\nkind: "); got != want {
		t.Errorf("%d of %d objects were accepted:\n%s", got, want, accepted)
	}
}

func selects(t *testing.T, selector *metav1.LabelSelector, set labels.Set) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(set)
}

func agentDeployment(t *testing.T) appsv1.Deployment {
	t.Helper()
	var deployment appsv1.Deployment
	object(t, "deployment.yaml", &deployment)
	return deployment
}

// object reads the first object of a kind in a file of deploy/kubernetes/base. Fields that
// the kind does not have are mistakes.
func object(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testenv.Root(t), "deploy", "kubernetes", "base", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	kind := strings.TrimPrefix(fmt.Sprintf("%T", into), "*v1.")
	documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(data)))
	for buffer := make([]byte, 1<<20); ; {
		n, err := documents.Read(buffer)
		if errors.Is(err, io.EOF) {
			t.Fatalf("%s holds no %s", name, kind)
		}
		if err != nil {
			t.Fatal(err)
		}
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal(buffer[:n], &meta); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if meta.Kind != kind {
			continue
		}
		if err := yaml.UnmarshalStrict(buffer[:n], into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return
	}
}
