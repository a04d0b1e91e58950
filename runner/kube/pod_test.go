package kube

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"nbpress/runner"
)

var update = flag.Bool("update", false, "write the golden documents of testdata")

var (
	noon       = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	testsOwner = metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "press-runs", UID: "4b0c"}
)

// plainSpec is an attempt that asks for nothing.
func plainSpec() runner.Spec {
	return runner.Spec{
		Run: "k3v9abcdefghijklmnop", Generation: 1, Attempt: 1, Report: "weekly-energy", Asset: "plant-1",
		Slot: time.Date(2026, 11, 23, 6, 0, 0, 0, time.FixedZone("", 3600)), Commit: strings.Repeat("5f1c", 10),
		Deadline: noon.Add(25 * time.Minute),
	}
}

// fullSpec asks for all that there is, in texts that are no labels.
func fullSpec() runner.Spec {
	spec := plainSpec()
	spec.Generation, spec.Attempt = 2, 3
	spec.Report, spec.Asset, spec.Commit = "energía/diaria", "planta 1 \"Süd\"\n", "not a commit!"
	spec.Image, spec.MilliCPU, spec.Memory = "registry.example.com/energy:7", 1500, 3<<30
	spec.Env = map[string]string{"GREETING": "hello $HOME $(HOME) $$", "HOME": "/elsewhere", "DB_URL": "shadowed"}
	spec.Secrets = runner.Secrets{"DB_URL": "postgres://user:hunter2@db", "B.KEY": "s3cr3t"}
	return spec
}

func plainOptions(t *testing.T) Options { return completed(t, Options{}) }

func fullOptions(t *testing.T) Options {
	return completed(t, Options{
		RuntimeClass: "gvisor", PriorityClass: "reports", NodeSelector: map[string]string{"pool": "reports"},
		Tolerations: []Toleration{{Key: "reports", Effect: "NoSchedule"}, {Operator: "Exists", Effect: "NoExecute", Seconds: new(int64(30))}},
		PullSecrets: []string{"registry"}, MilliCPU: 250, Memory: 512 << 20, Storage: 1 << 30, User: 4711,
	})
}

func completed(t *testing.T, o Options) Options {
	t.Helper()
	o.Namespace, o.Instance, o.Image = "reports", "press", "registry.example.com/nbpress-kernel:1"
	o, err := o.complete()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestPodFor_IsAsTheGoldenFilesSay(t *testing.T) {
	for name, pod := range map[string]*corev1.Pod{
		"plain.json": podFor(plainSpec(), plainOptions(t), testsOwner, noon),
		"full.json":  podFor(fullSpec(), fullOptions(t), testsOwner, noon),
	} {
		got, err := json.MarshalIndent(pod, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		path := filepath.Join("testdata", "pod", name)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got; -update writes it):\n%s", path, diff)
		}
	}
}

// TestPodFor_MeetsTheRestrictedStandard asks what clusters ask.
func TestPodFor_MeetsTheRestrictedStandard(t *testing.T) {
	judge, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	violations := func(pod *corev1.Pod) (found []string) {
		for _, result := range judge.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				found = append(found, result.ForbiddenReason+": "+result.ForbiddenDetail)
			}
		}
		return found
	}
	for _, pod := range []*corev1.Pod{
		podFor(plainSpec(), plainOptions(t), testsOwner, noon), podFor(fullSpec(), fullOptions(t), testsOwner, noon),
	} {
		if found := violations(pod); len(found) > 0 {
			t.Errorf("the standard does not allow the pod: %q", found)
		}
	}
	bare := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if found := violations(bare); len(found) != 4 {
		t.Errorf("of a bare pod the judge says %q, want 4 violations: does it judge at all?", found)
	}
}

// TestPodFor_IsConfinedBeyondTheStandard asserts what the standard does not look at.
func TestPodFor_IsConfinedBeyondTheStandard(t *testing.T) {
	for _, pod := range []*corev1.Pod{
		podFor(plainSpec(), plainOptions(t), testsOwner, noon), podFor(fullSpec(), fullOptions(t), testsOwner, noon),
	} {
		s := pod.Spec
		for what, ok := range map[string]bool{
			"no token of a service account": s.AutomountServiceAccountToken != nil && !*s.AutomountServiceAccountToken,
			"no addresses of services":      s.EnableServiceLinks != nil && !*s.EnableServiceLinks,
			"never restarted":               s.RestartPolicy == corev1.RestartPolicyNever,
			"ends by itself":                s.ActiveDeadlineSeconds != nil && *s.ActiveDeadlineSeconds == 25*60,
			"ends soon when asked":          s.TerminationGracePeriodSeconds != nil && *s.TerminationGracePeriodSeconds <= 5,
			"nothing of the node":           !s.HostNetwork && !s.HostPID && !s.HostIPC,
			"containers are apart":          s.ShareProcessNamespace == nil,
			"no user that is root":          s.SecurityContext.RunAsUser != nil && *s.SecurityContext.RunAsUser > 0,
			"files for its own user":        s.SecurityContext.FSGroup != nil && *s.SecurityContext.FSGroup == *s.SecurityContext.RunAsUser,
			"owned":                         len(pod.OwnerReferences) == 1 && pod.OwnerReferences[0].UID == testsOwner.UID,
		} {
			if !ok {
				t.Errorf("%s: not so", what)
			}
		}
		for _, c := range s.Containers {
			if c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
				t.Errorf("%s can write to its image", c.Name)
			}
			for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
				request, limit := c.Resources.Requests[r], c.Resources.Limits[r]
				if request.IsZero() || limit.IsZero() || request.Cmp(limit) > 0 {
					t.Errorf("%s: of %s it requests %v, with the limit %v", c.Name, r, &request, &limit)
				}
			}
		}
		for _, v := range s.Volumes {
			if v.EmptyDir != nil && v.EmptyDir.SizeLimit == nil {
				t.Errorf("volume %s has no limit", v.Name)
			}
			if v.EmptyDir == nil && v.Secret == nil {
				t.Errorf("volume %s is neither a folder nor the Secret", v.Name)
			}
			if v.Name == "desk-files" {
				for _, item := range v.Secret.Items {
					if item.Key == keyFile || strings.HasPrefix(item.Key, "env.") {
						t.Errorf("the desk has %s", item.Key)
					}
				}
			}
		}
		for label, value := range pod.Labels {
			if problems := validation.IsValidLabelValue(value); len(problems) > 0 || value == "" {
				t.Errorf("label %s: %q: %v", label, value, problems)
			}
		}
	}
}

func TestPodFor_HidesSecrets(t *testing.T) {
	spec := fullSpec()
	pod := podFor(spec, fullOptions(t), testsOwner, noon)
	text, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	pod.UID = "of-the-pod"
	secret := secretFor(pod, spec.Secrets, "the key")
	for name, value := range spec.Secrets {
		if bytes.Contains(text, []byte(value)) {
			t.Errorf("the pod shows the value of %s", name)
		}
		if got := string(secret.Data[secretKey(name)]); got != value {
			t.Errorf("the Secret has %q for %s", got, name)
		}
		if problems := validation.IsConfigMapKey(secretKey(name)); len(problems) > 0 {
			t.Errorf("%s is no key of a Secret: %v", secretKey(name), problems)
		}
	}
	if !*secret.Immutable || string(secret.Data[keyFile]) != "the key" || len(secret.OwnerReferences) != 1 || secret.OwnerReferences[0].UID != pod.UID {
		t.Errorf("the Secret is %+v", secret.ObjectMeta)
	}
	for _, volume := range pod.Spec.Volumes {
		if volume.Secret == nil {
			continue
		}
		for _, item := range volume.Secret.Items {
			if _, ok := secret.Data[item.Key]; !ok {
				t.Errorf("volume %s wants %s, which the Secret has not", volume.Name, item.Key)
			}
		}
	}
}

func TestPodFor_GivesEachPodAUserOfItsOwn(t *testing.T) {
	one := podFor(plainSpec(), plainOptions(t), testsOwner, noon)
	other := plainSpec()
	other.Attempt++
	two := podFor(other, plainOptions(t), testsOwner, noon)
	if *one.Spec.SecurityContext.RunAsUser == *two.Spec.SecurityContext.RunAsUser {
		t.Error("two pods have one user")
	}
	if got := *podFor(plainSpec(), fullOptions(t), testsOwner, noon).Spec.SecurityContext.RunAsUser; got != 4711 {
		t.Errorf("where the operator prescribes a user, it is %d", got)
	}
}

func TestPodFor_LivesLongEnoughToSayWhy(t *testing.T) {
	spec := plainSpec()
	spec.Deadline = noon.Add(-time.Hour)
	if got := *podFor(spec, plainOptions(t), testsOwner, noon).Spec.ActiveDeadlineSeconds; got != 60 {
		t.Errorf("past its deadline a pod gets %d s", got)
	}
}

func TestOptions_SayNothingAboutTheInstance(t *testing.T) {
	o, err := Options{Namespace: "reports", Image: "kernel"}.complete()
	if err != nil || o.Instance != "nbpress" { // as docs/operations.md says
		t.Errorf("instance %q, error %v", o.Instance, err)
	}
}

func TestOptions_NameAllThatIsWrong(t *testing.T) {
	_, err := Options{Namespace: "Wrong_", Instance: strings.Repeat("x", 31)}.complete()
	if err == nil {
		t.Fatal("they are taken")
	}
	for _, want := range []string{`namespace "Wrong_"`, "instance", "no image"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
}
