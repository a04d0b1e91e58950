// Package kube makes sandboxes as pods of a Kubernetes cluster.
//
// A sandbox is one pod of two containers that share the work folder: `kernel`, which runs
// the bundle's image, and `desk`, which runs the stock image, hands files in and out and
// renders. What the agent gives to both, the scripts and the kernel's key, is one Secret
// that the pod owns. The agent reaches the pod at its address, or through a port-forward
// where it runs outside the cluster.
//
// An [Executor] belongs to one instance of nbpress in one namespace. All that it makes
// carries the instance's label, is owned by the ConfigMap "<instance>-runs", and is
// removed when its sandbox is closed; what a killed agent left is removed by Begin of
// its next life. It never changes what does not carry its label.
//
// One informer, filtered by that label, tells of every pod: none is polled. How a pod
// failed is told by a pure function of what the cluster says of it (fate.go). Where quota is
// lacking the pod is asked for again, by order of arrival (quota.go).
//
// Pods that wait warm would come in at Start: a pod has no kernel before its warden is
// told to start one, so that connect, and what follows it, would not change. What is an
// attempt's from the first stands in podFor and secretFor: name, labels, key, granted
// secrets, deadline.
//
// The clients are made for the few types that are used here, on a scheme of their own, so
// that it is plain what we ask a cluster for.
package kube
