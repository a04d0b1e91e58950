package kube

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nbpress/runner"
)

// changed is a pod at work, to which something happened.
func changed(changes ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		Spec: corev1.PodSpec{
			NodeName: "node-7", ActiveDeadlineSeconds: new(int64(1500)),
			Containers: []corev1.Container{{Name: kernelContainer, Resources: corev1.ResourceRequirements{
				Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
			}}, {Name: deskContainer}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue},
				{Type: corev1.ContainersReady, Status: corev1.ConditionTrue},
			},
			ContainerStatuses: []corev1.ContainerStatus{
				{Name: kernelContainer, Image: "energy:7", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
				{Name: deskContainer, Image: "kernel:1", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
			},
		},
	}
	for _, change := range changes {
		change(pod)
	}
	return pod
}

func inState(container string, s corev1.ContainerState) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		for i := range pod.Status.ContainerStatuses {
			if pod.Status.ContainerStatuses[i].Name == container {
				pod.Status.ContainerStatuses[i].State = s
			}
		}
	}
}

func waitsFor(container, reason, message string) func(*corev1.Pod) {
	return inState(container, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}})
}

func ended(container, reason string, code int32) func(*corev1.Pod) {
	return inState(container, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code}})
}

func with(kind corev1.PodConditionType, status corev1.ConditionStatus, reason, message string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		c := corev1.PodCondition{Type: kind, Status: status, Reason: reason, Message: message}
		for i := range pod.Status.Conditions {
			if pod.Status.Conditions[i].Type == kind {
				pod.Status.Conditions[i] = c
				return
			}
		}
		pod.Status.Conditions = append(pod.Status.Conditions, c)
	}
}

func phase(p corev1.PodPhase, reason, message string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.Status.Phase, pod.Status.Reason, pod.Status.Message = p, reason, message }
}

func deleted(pod *corev1.Pod) {
	pod.DeletionTimestamp = &metav1.Time{Time: time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)}
}

func fresh(pod *corev1.Pod) { pod.Status = corev1.PodStatus{Phase: corev1.PodPending} }

func TestFateOf_TellsFailuresApart(t *testing.T) {
	for _, test := range []struct {
		name    string
		pod     *corev1.Pod
		gone    bool
		state   state
		code    runner.Code
		message []string
		unsure  bool
	}{
		{name: "created", pod: changed(fresh), state: starting},
		{name: "at work", pod: changed(), state: running},
		{name: "one container is not there yet", pod: changed(waitsFor(deskContainer, "ContainerCreating", "")), state: starting},
		{
			name:  "no room",
			pod:   changed(fresh, with(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable", "0/3 nodes are available: 3 Insufficient memory.")),
			state: waiting, code: runner.Unschedulable, message: []string{"3 Insufficient memory"},
		},
		{name: "gated", pod: changed(fresh, with(corev1.PodScheduled, corev1.ConditionFalse, "SchedulingGated", "")), state: starting},
		{
			name: "refused by its node", pod: changed(fresh, phase(corev1.PodFailed, "OutOfmemory", "Node didn't have enough resource: memory")),
			state: failed, code: runner.Unschedulable, message: []string{"node-7", "OutOfmemory"},
		},
		{
			name: "pull fails", pod: changed(waitsFor(kernelContainer, "ErrImagePull", "not found")),
			state: waiting, code: runner.ImagePull, message: []string{"energy:7", "not found", `"kernel"`},
		},
		{
			name: "pull fails again", pod: changed(waitsFor(deskContainer, "ImagePullBackOff", "Back-off pulling")),
			state: waiting, code: runner.ImagePull, message: []string{"kernel:1", "Back-off"},
		},
		{name: "no name", pod: changed(waitsFor(kernelContainer, "InvalidImageName", "invalid reference")), state: failed, code: runner.ImagePull, message: []string{"invalid reference"}},
		{name: "never pulled", pod: changed(waitsFor(kernelContainer, "ErrImageNeverPull", "")), state: failed, code: runner.ImagePull, message: []string{"ErrImageNeverPull"}},
		{
			name: "no such key", pod: changed(waitsFor(kernelContainer, "CreateContainerConfigError", `couldn't find key env.DB in Secret ns/x`), func(pod *corev1.Pod) {}),
			state: failed, code: runner.Internal, message: []string{"cannot be made", "env.DB"},
		},
		{
			name: "no such secret", pod: changed(waitsFor(kernelContainer, "CreateContainerConfigError", `secret "x" not found`)),
			state: failed, code: runner.SecretMissing, message: []string{`secret "x" not found`},
		},
		{
			name: "the kubelet is late", pod: changed(waitsFor(kernelContainer, "CreateContainerConfigError", "failed to sync secret cache: timed out")),
			state: waiting, code: runner.Internal, message: []string{"failed to sync"},
		},
		{
			name: "no python in the image", pod: changed(ended(kernelContainer, "StartError", 128)),
			state: failed, code: runner.KernelDied, message: []string{"cannot start", "python3"}, unsure: true,
		},
		{
			name: "out of memory", pod: changed(ended(kernelContainer, "OOMKilled", 137)),
			state: kernelGone, code: runner.OOMKilled, message: []string{"256 MiB"},
		},
		{name: "kernel's container failed", pod: changed(ended(kernelContainer, "Error", 3)), state: kernelGone, code: runner.KernelDied, message: []string{"exit status 3"}, unsure: true},
		{
			name: "evicted, and the node has not said so yet", pod: changed(ended(deskContainer, "Error", 137), ended(kernelContainer, "Completed", 0)),
			state: failed, code: runner.Internal, message: []string{"137"}, unsure: true,
		},
		{
			name: "failed, and that is all", pod: changed(phase(corev1.PodFailed, "", ""), ended(deskContainer, "Error", 1), ended(kernelContainer, "Error", 1)),
			state: failed, code: runner.Internal, message: []string{"desk"},
		},
		{name: "kernel's container left", pod: changed(ended(kernelContainer, "Completed", 0)), state: kernelGone, code: runner.Internal, message: []string{"lost its connection"}, unsure: true},
		{
			name: "the desk is out of memory", pod: changed(ended(deskContainer, "OOMKilled", 137)),
			state: failed, code: runner.Internal, message: []string{"desk", "512 MiB"}, unsure: true,
		},
		{
			name: "evicted", pod: changed(phase(corev1.PodFailed, "Evicted", "The node was low on resource: ephemeral-storage."), ended(kernelContainer, "Error", 137)),
			state: failed, code: runner.Evicted, message: []string{"ephemeral-storage"},
		},
		{
			name: "drained", pod: changed(deleted, with(corev1.DisruptionTarget, corev1.ConditionTrue, "EvictionByEvictionAPI", "Eviction API: evicting")),
			state: failed, code: runner.Evicted, message: []string{"drained", "node-7"},
		},
		{
			name: "preempted", pod: changed(deleted, with(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler", "default-scheduler: preempting")),
			state: failed, code: runner.Evicted, message: []string{"PreemptionByScheduler"},
		},
		{
			name: "tainted", pod: changed(deleted, with(corev1.DisruptionTarget, corev1.ConditionTrue, "DeletionByTaintManager", "Taint manager: deleting")),
			state: failed, code: runner.NodeLost, message: []string{"node-7"},
		},
		{name: "its node is silent", pod: changed(with(corev1.PodReady, corev1.ConditionFalse, "", "")), state: failed, code: runner.NodeLost, message: []string{"node-7", "not ready"}},
		{name: "its node shuts down", pod: changed(phase(corev1.PodFailed, "Terminated", "Pod was terminated in response to imminent node shutdown.")), state: failed, code: runner.NodeLost, message: []string{"shutdown"}},
		{name: "its node is forgotten", pod: changed(deleted, phase(corev1.PodRunning, "NodeLost", "Node node-7 which was running pod x is unresponsive")), state: failed, code: runner.NodeLost, message: []string{"unresponsive"}},
		{name: "being deleted", pod: changed(deleted), state: failed, code: runner.PodDeleted, message: []string{"somebody deleted"}},
		{name: "gone", pod: changed(), gone: true, state: failed, code: runner.PodDeleted, message: []string{"gone from the cluster"}},
		{name: "gone well", pod: changed(phase(corev1.PodSucceeded, "", "")), gone: true, state: failed, code: runner.PodDeleted},
		{name: "past its deadline", pod: changed(phase(corev1.PodFailed, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")), state: failed, code: runner.RunTimeout, message: []string{"1500 s"}},
		{name: "failed for a reason that is new", pod: changed(fresh, phase(corev1.PodFailed, "Martian", "green")), state: failed, code: runner.Internal, message: []string{"Martian: green"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := fateOf(test.pod, test.gone)
			if got.state != test.state || got.code != test.code || got.unsure != test.unsure {
				t.Errorf("got %+v, want state %d and code %q", got, test.state, test.code)
			}
			for _, want := range test.message {
				if !strings.Contains(got.message, want) {
					t.Errorf("%q lacks %q", got.message, want)
				}
			}
			if (got.message == "") != (got.code == "") {
				t.Errorf("%+v: a code and no words, or words and no code", got)
			}
		})
	}
}
