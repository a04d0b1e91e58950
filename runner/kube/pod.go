package kube

import (
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"nbpress/runner"
)

// This file says what an attempt's pod and Secret look like. It asks nobody anything.

// The containers of a pod.
const (
	kernelContainer = "kernel"
	deskContainer   = "desk"
)

// What a pod takes beside what its kernel may have.
const (
	podGrace    = 5         // seconds between SIGTERM and SIGKILL
	homeStorage = 256 << 20 // bytes: caches of matplotlib and the like
	logStorage  = 4 << 20
	runMemory   = 1 << 20
	deskStorage = 512 << 20
	deskMemory  = 512 << 20 // limit; it is idle at 10 MiB
	idleMemory  = 64 << 20
	idleStorage = 64 << 20
	idleCPU     = 50 // thousandths of a processor
	deskCPU     = 1000
)

// leastLife keeps activeDeadlineSeconds sensible when the deadline is near, or past.
const leastLife = time.Minute

// podFor returns the pod of an attempt. The Secret that it mounts has its name.
func podFor(spec runner.Spec, o Options, owner metav1.OwnerReference, now time.Time) *corev1.Pod {
	name := podName(o.Instance, spec)
	user := o.User
	if user == 0 {
		user = ownUser(name)
	}
	life := int64(max(spec.Deadline.Sub(now), leastLife).Seconds())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: podLabels(spec, o.Instance), OwnerReferences: []metav1.OwnerReference{owner},
			Annotations: map[string]string{
				annotationReport: spec.Report, annotationAsset: spec.Asset,
				// An autoscaler that wants to empty the node waits for the run's end.
				"cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
			},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			ActiveDeadlineSeconds:         &life,
			TerminationGracePeriodSeconds: new(int64(podGrace)),
			AutomountServiceAccountToken:  new(bool),
			EnableServiceLinks:            new(bool),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: &user, RunAsGroup: &user, FSGroup: &user,
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			NodeSelector: maps.Clone(o.NodeSelector), PriorityClassName: o.PriorityClass,
			Containers: []corev1.Container{kernelOf(spec, o, name), deskOf(o)},
			Volumes: []corev1.Volume{
				files("kernel-files", name, append([]string{keyFile}, kernelPrograms[:]...)), files("desk-files", name, deskPrograms[:]),
				folder("work", o.Storage), folder("log", logStorage),
				folder("kernel-tmp", o.Storage), folder("home", homeStorage),
				folder("desk-tmp", deskStorage), folder("desk", deskStorage),
				{Name: "run", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
					Medium: corev1.StorageMediumMemory, SizeLimit: bytesOf(runMemory),
				}}},
			},
		},
	}
	if !spec.Slot.IsZero() {
		pod.Annotations[annotationSlot] = spec.Slot.Format(time.RFC3339)
	}
	if o.RuntimeClass != "" {
		pod.Spec.RuntimeClassName = &o.RuntimeClass
	}
	for _, t := range o.Tolerations {
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
			Key: t.Key, Operator: corev1.TolerationOperator(t.Operator), Value: t.Value,
			Effect: corev1.TaintEffect(t.Effect), TolerationSeconds: t.Seconds,
		})
	}
	for _, secret := range o.PullSecrets {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: secret})
	}
	return pod
}

// podLabels are for people who look for a run's pod. Free text is in annotations.
func podLabels(spec runner.Spec, instance string) map[string]string {
	labels := map[string]string{
		labelManagedBy: managedBy, labelInstance: instance, labelComponent: componentPod,
		labelRun: string(spec.Run), labelGen: strconv.Itoa(spec.Generation), labelAttempt: strconv.Itoa(spec.Attempt),
		labelCommit: spec.Commit,
	}
	maps.DeleteFunc(labels, func(_, value string) bool {
		return value == "" || len(validation.IsValidLabelValue(value)) > 0
	})
	return labels
}

// ownUser is a user of a pod's own: the limit on processes counts those of a user on the
// whole node, so that of two pods with one user each could starve the other.
func ownUser(name string) int64 {
	digest := fnv.New32a()
	digest.Write([]byte(name))
	const first, many = 100_000, 1_000_000_000
	return first + int64(digest.Sum32())%many
}

func kernelOf(spec runner.Spec, o Options, secret string) corev1.Container {
	image, milliCPU, memory := spec.Image, spec.MilliCPU, spec.Memory
	if image == "" {
		image = o.Image
	}
	if milliCPU == 0 {
		milliCPU = o.MilliCPU
	}
	if memory == 0 {
		memory = o.Memory
	}
	limits := corev1.ResourceList{
		corev1.ResourceCPU: *resource.NewMilliQuantity(milliCPU, resource.DecimalSI), corev1.ResourceMemory: *bytesOf(memory),
		corev1.ResourceEphemeralStorage: *bytesOf(2*o.Storage + homeStorage + logStorage),
	}
	requests := maps.Clone(limits) // of memory all, so that a node never runs out of it
	requests[corev1.ResourceEphemeralStorage] = *bytesOf(min(idleStorage, 2*o.Storage))
	return corev1.Container{
		Name: kernelContainer, Image: image, Command: kernelCommand(o.StartTimeout), WorkingDir: "/",
		Env:       kernelEnv(spec, secret),
		Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "kernel-files", MountPath: programDir, ReadOnly: true}, {Name: "work", MountPath: workDir},
			{Name: "log", MountPath: logDir}, {Name: "kernel-tmp", MountPath: tmpDir}, {Name: "home", MountPath: homeDir},
			{Name: "run", MountPath: runDir},
		},
		SecurityContext: confined(),
	}
}

func deskOf(o Options) corev1.Container {
	return corev1.Container{
		Name: deskContainer, Image: o.Image, Command: deskCommand(), WorkingDir: "/",
		Env: []corev1.EnvVar{{Name: "HOME", Value: tmpDir}, {Name: "LANG", Value: "C.UTF-8"}},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{
				corev1.ResourceCPU: *resource.NewMilliQuantity(idleCPU, resource.DecimalSI), corev1.ResourceMemory: *bytesOf(idleMemory),
				corev1.ResourceEphemeralStorage: *bytesOf(idleStorage),
			},
			Limits: corev1.ResourceList{
				corev1.ResourceCPU: *resource.NewMilliQuantity(deskCPU, resource.DecimalSI), corev1.ResourceMemory: *bytesOf(deskMemory),
				corev1.ResourceEphemeralStorage: *bytesOf(2 * deskStorage),
			},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "desk-files", MountPath: programDir, ReadOnly: true}, {Name: "work", MountPath: workDir},
			{Name: "log", MountPath: logDir, ReadOnly: true}, {Name: "desk-tmp", MountPath: tmpDir}, {Name: "desk", MountPath: deskDir},
		},
		SecurityContext: confined(),
	}
}

// kernelEnv is what the kernel finds in its environment beside what its image brings. The
// values of secrets are in the pod's Secret.
func kernelEnv(spec runner.Spec, secret string) []corev1.EnvVar {
	values := map[string]string{
		"HOME": homeDir, "TMPDIR": tmpDir, "USER": "nbpress", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1",
		"IPYTHONDIR": homeDir + "/.ipython", "MPLCONFIGDIR": homeDir + "/.matplotlib",
	}
	maps.Copy(values, spec.Env)
	var env []corev1.EnvVar
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, hidden := spec.Secrets[name]; !hidden {
			// Kubernetes would put other variables in the place of $(NAME).
			env = append(env, corev1.EnvVar{Name: name, Value: strings.ReplaceAll(values[name], "$", "$$")})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Secrets)) {
		env = append(env, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: secretKey(name),
		}}})
	}
	return env
}

// secretKey is where the value of an environment variable is in the pod's Secret.
func secretKey(name string) string { return "env." + name }

// confined is what no container of ours may do.
func confined() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(bool), ReadOnlyRootFilesystem: new(true), RunAsNonRoot: new(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

func folder(name string, size int64) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: bytesOf(size)}}}
}

// files is a volume of some of a Secret's files.
func files(volume, secret string, names []string) corev1.Volume {
	source := &corev1.SecretVolumeSource{SecretName: secret, DefaultMode: new(int32(0o440))}
	for _, name := range names {
		source.Items = append(source.Items, corev1.KeyToPath{Key: name, Path: name})
	}
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{Secret: source}}
}

func bytesOf(n int64) *resource.Quantity { return resource.NewQuantity(n, resource.BinarySI) }

// secretFor returns the Secret of a pod that is there: it goes with it. Until it is there the
// pod's containers do not start.
func secretFor(pod *corev1.Pod, secrets runner.Secrets, key string) *corev1.Secret {
	data := programs()
	data[keyFile] = []byte(key)
	for name, value := range secrets {
		data[secretKey(name)] = []byte(value)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: pod.Name, Labels: maps.Clone(pod.Labels),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}},
		},
		Immutable: new(true),
		Data:      data,
	}
}
