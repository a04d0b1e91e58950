package kube

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"nbpress/runner"
)

// This file reads what becomes of a pod from what the cluster says of it. It is one pure
// function, after Tekton's pkg/pod/status.go and gitlab-runner's watchers, and a table of
// tests.

// fate is what a pod's state means for its attempt.
type fate struct {
	state   state
	code    runner.Code // where it waits, or has failed
	message string      // the cluster's own words, and what they are about

	// unsure says that a container has ended, and that the cluster may still say why: of a
	// pod that it ends it tells that only when all containers have ended.
	unsure bool
}

type state int

const (
	starting   state = iota // nothing is wrong
	waiting                 // something is, that may come right by itself
	running                 // both containers
	kernelGone              // the kernel's container has ended; the desk still serves
	failed                  // the pod is of no use any more
)

// failure is the fate of an attempt that needed the pod.
func (f fate) failure() *runner.Failure { return &runner.Failure{Code: f.code, Message: f.message} }

func fails(code runner.Code, format string, args ...any) fate {
	return fate{state: failed, code: code, message: fmt.Sprintf(format, args...)}
}

// fateOf tells what becomes of a pod that we did not delete; gone says that it is deleted, and
// pod its last state.
func fateOf(pod *corev1.Pod, gone bool) fate {
	kernel, desk := containerStatus(pod, kernelContainer), containerStatus(pod, deskContainer)
	if f, ok := byReason(pod); ok {
		return f
	}
	if f, ok := disrupted(pod); ok {
		return f
	}
	switch {
	case gone && pod.DeletionTimestamp == nil:
		return fails(runner.PodDeleted, "the pod is gone from the cluster: somebody deleted it, or its node went away")
	case gone || pod.DeletionTimestamp != nil:
		return fails(runner.PodDeleted, "somebody deleted the pod while it was needed")
	case nodeSilent(pod):
		return fails(runner.NodeLost, "node %s is not ready: the cluster hears nothing of it", pod.Spec.NodeName)
	}
	if f, ok := byEnd(pod, kernel.State.Terminated, desk.State.Terminated); ok {
		return f
	}
	for _, status := range []corev1.ContainerStatus{kernel, desk} {
		if f, ok := byWaiting(status); ok {
			return f
		}
	}
	switch c := condition(pod, corev1.PodScheduled); {
	case c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable:
		return fate{state: waiting, code: runner.Unschedulable, message: "no node takes the pod: " + c.Message}
	case pod.Status.Phase == corev1.PodFailed:
		return fails(runner.Internal, "the pod failed: %s", saying(pod.Status.Reason, pod.Status.Message))
	case kernel.State.Running != nil && desk.State.Running != nil:
		return fate{state: running}
	}
	return fate{state: starting}
}

// byReason tells what a pod's own reason means, where there is one.
func byReason(pod *corev1.Pod) (fate, bool) {
	reason, said := pod.Status.Reason, saying(pod.Status.Reason, pod.Status.Message)
	switch {
	case reason == "":
	case reason == "Evicted":
		return fails(runner.Evicted, "the node evicted the pod: %s", cmp.Or(pod.Status.Message, reason)), true
	case reason == "DeadlineExceeded":
		var seconds int64
		if s := pod.Spec.ActiveDeadlineSeconds; s != nil {
			seconds = *s
		}
		return fails(runner.RunTimeout, "the cluster ended the pod after its activeDeadlineSeconds, %d s", seconds), true
	case reason == "Preempting":
		return fails(runner.Evicted, "the pod had to make room on its node: %s", said), true
	case reason == "NodeLost", reason == "NodeShutdown", reason == "Terminated", reason == "Shutdown":
		return fails(runner.NodeLost, "node %s goes or went away: %s", pod.Spec.NodeName, said), true
	case strings.HasPrefix(reason, "OutOf"), reason == "NodeAffinity", reason == "UnexpectedAdmissionError", reason == "InsufficientResource":
		return fails(runner.Unschedulable, "node %s did not take the pod: %s", pod.Spec.NodeName, said), true
	}
	return fate{}, false
}

// disrupted tells why the cluster ends a pod on purpose, see
// https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions.
func disrupted(pod *corev1.Pod) (fate, bool) {
	c := condition(pod, corev1.DisruptionTarget)
	if c.Status != corev1.ConditionTrue {
		return fate{}, false
	}
	said := saying(c.Reason, c.Message)
	switch c.Reason {
	case "DeletionByTaintManager", "DeletionByPodGC":
		return fails(runner.NodeLost, "node %s went away or was tainted: %s", pod.Spec.NodeName, said), true
	case "EvictionByEvictionAPI":
		return fails(runner.Evicted, "the pod was evicted, as when node %s is drained: %s", pod.Spec.NodeName, said), true
	}
	return fails(runner.Evicted, "the cluster ends the pod: %s", said), true
}

// nodeSilent reports whether the node's controller took a pod's readiness away, which it does
// when it does not hear of the node. The kubelet never says so of a pod without probes.
func nodeSilent(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodRunning &&
		condition(pod, corev1.PodReady).Status == corev1.ConditionFalse &&
		condition(pod, corev1.ContainersReady).Status == corev1.ConditionTrue
}

// byEnd tells what a container's end means. Neither ends by itself while it is needed.
func byEnd(pod *corev1.Pod, kernel, desk *corev1.ContainerStateTerminated) (f fate, ok bool) {
	switch {
	case desk != nil:
		f = deskEnded(desk)
	case kernel != nil:
		f = kernelEnded(pod, kernel)
	default:
		return fate{}, false
	}
	f.unsure = pod.Status.Phase == corev1.PodRunning && f.code != runner.OOMKilled
	return f, true
}

func deskEnded(ended *corev1.ContainerStateTerminated) fate {
	if ended.Reason == "OOMKilled" {
		return fails(runner.Internal, "the desk, which hands out files and renders, needed more than its %d MiB of memory", deskMemory>>20)
	}
	if neverRan(ended) {
		return fails(runner.ImagePull, "the desk's container cannot start: %s; the stock image must have python3 in its PATH", saying(ended.Reason, ended.Message))
	}
	return fails(runner.Internal, "the desk's container ended with exit status %d", ended.ExitCode)
}

func kernelEnded(pod *corev1.Pod, ended *corev1.ContainerStateTerminated) fate {
	switch {
	case ended.Reason == "OOMKilled":
		return fate{state: kernelGone, code: runner.OOMKilled, message: fmt.Sprintf("the notebook needed more than its %d MiB of memory", memoryLimit(pod)>>20)}
	case neverRan(ended):
		return fails(runner.KernelDied, "the image's container cannot start: %s; an image must have python3 in its PATH", saying(ended.Reason, ended.Message))
	case ended.Signal != 0:
		return fate{state: kernelGone, code: runner.KernelDied, message: fmt.Sprintf("the kernel's container ended by signal %d", ended.Signal)}
	case ended.ExitCode == 0: // the warden leaves when its agent does
		return fate{state: kernelGone, code: runner.Internal, message: "the kernel's container ended because it lost its connection to the agent"}
	}
	return fate{state: kernelGone, code: runner.KernelDied, message: fmt.Sprintf("the kernel's container ended with exit status %d", ended.ExitCode)}
}

// neverRan reports whether a container's program could not be started.
func neverRan(ended *corev1.ContainerStateTerminated) bool {
	switch ended.Reason {
	case "StartError", "ContainerCannotRun", "RunContainerError":
		return true
	}
	return false
}

// byWaiting tells why a container does not start, where something is wrong.
func byWaiting(status corev1.ContainerStatus) (fate, bool) {
	w := status.State.Waiting
	if w == nil {
		return fate{}, false
	}
	about := fmt.Sprintf("image %s of the container %q: %s", status.Image, status.Name, saying(w.Reason, w.Message))
	switch w.Reason {
	case "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable":
		return fate{state: waiting, code: runner.ImagePull, message: about}, true
	case "InvalidImageName", "ErrImageNeverPull", "SignatureValidationFailed":
		return fails(runner.ImagePull, "%s", about), true
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		said := fmt.Sprintf("the container %q cannot be made: %s", status.Name, saying(w.Reason, w.Message))
		if strings.Contains(w.Message, "sync secret cache") { // the kubelet has not seen the Secret yet
			return fate{state: waiting, code: runner.Internal, message: said}, true
		}
		code := runner.Internal
		if strings.Contains(w.Message, "secret") {
			code = runner.SecretMissing
		}
		return fails(code, "%s", said), true
	}
	return fate{}, false
}

// containerStatus returns what is known of a container; the zero status: nothing.
func containerStatus(pod *corev1.Pod, name string) corev1.ContainerStatus {
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == name {
			return status
		}
	}
	return corev1.ContainerStatus{Name: name}
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

// memoryLimit returns what a pod's kernel may have, in bytes.
func memoryLimit(pod *corev1.Pod) int64 {
	for _, c := range pod.Spec.Containers {
		if c.Name == kernelContainer {
			return c.Resources.Limits.Memory().Value()
		}
	}
	return 0
}

// saying joins a reason and its message.
func saying(reason, message string) string {
	message = strings.TrimSpace(message)
	if reason == "" || message == "" {
		return cmp.Or(message, reason)
	}
	return reason + ": " + message
}
