package kube

import (
	"fmt"
	"strings"

	"nbpress/runner"
)

// The labels and annotations of what this package makes.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelComponent = "app.kubernetes.io/component"
	labelInstance  = "nbpress/instance"
	labelRun       = "nbpress/run"
	labelGen       = "nbpress/generation"
	labelAttempt   = "nbpress/attempt"
	labelCommit    = "nbpress/commit"

	annotationReport = "nbpress/report"
	annotationAsset  = "nbpress/asset"
	annotationSlot   = "nbpress/slot"

	managedBy     = "nbpress"
	componentPod  = "sandbox"
	componentRuns = "runs"
)

// podName is the same for an attempt whoever makes it, so that it cannot be there twice.
// A run's id is of letters and digits.
func podName(instance string, spec runner.Spec) string {
	return fmt.Sprintf("%s-%s-g%d-a%d", instance, strings.ToLower(string(spec.Run)), spec.Generation, spec.Attempt)
}

// ownerName names the ConfigMap that owns all pods of an instance.
func ownerName(instance string) string { return instance + "-runs" }

// selector selects the objects of an instance.
func selector(instance string) string {
	return labelManagedBy + "=" + managedBy + "," + labelInstance + "=" + instance
}

// ours reports whether an object with these labels is of an instance.
func ours(labels map[string]string, instance string) bool {
	return labels[labelManagedBy] == managedBy && labels[labelInstance] == instance
}
