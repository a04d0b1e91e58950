package main

import (
	"strings"
	"testing"

	"nbpress/runner"
)

// TestImageFailure_SaysWhatAnImageLacks holds what clusters say against what people are told.
func TestImageFailure_SaysWhatAnImageLacks(t *testing.T) {
	for _, test := range []struct {
		name    string
		failure runner.Failure
		log     string
		want    string // "": the image was not tried
	}{
		{
			name: "no python3", want: "no python3",
			failure: runner.Failure{Code: runner.KernelDied, Message: `the image's container cannot start: StartError: failed to create containerd task: exec: "python3": executable file not found in $PATH: unknown; an image must have python3 in its PATH`},
		},
		{
			name: "no ipykernel", want: "no ipykernel", log: "/usr/bin/python3: No module named ipykernel\n",
			failure: runner.Failure{Code: runner.KernelDied, Message: "the kernel died before it was ready: exit status 1"},
		},
		{
			name: "no such image", want: "cannot pull it",
			failure: runner.Failure{Code: runner.ImagePull, Message: `image registry.example.com/python3-kernel:2 of the container "kernel": ErrImagePull: not found`},
		},
		{name: "not enough memory", want: "more memory", failure: runner.Failure{Code: runner.OOMKilled, Message: "the notebook needed more than its 16 MiB of memory"}},
		{name: "something else of its own", want: "segmentation fault", failure: runner.Failure{Code: runner.KernelDied, Message: "signal: segmentation fault"}},
		{name: "the cluster's fault", failure: runner.Failure{Code: runner.Unschedulable, Message: "no node takes the pod"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, err := imageFailure(test.failure, test.log)
			if said := strings.Join(found.lacks, "\n"); (err == nil) != (test.want != "") || !strings.Contains(said, test.want) {
				t.Errorf("it says %q, %v, want %q", said, err, test.want)
			}
		})
	}
}
