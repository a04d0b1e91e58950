package main

import (
	"regexp"
	"strings"
	"testing"

	"nbpress/runner/kube"
)

func TestPersonalInstance_IsNobodyElsesAndFoundAgain(t *testing.T) {
	folder := t.TempDir()
	take := func() (string, func()) {
		t.Helper()
		name, giveBack, err := personalInstanceIn(folder, "Ada.Lovelace@example", "desk-7.example.com")
		if err != nil {
			t.Fatal(err)
		}
		return name, giveBack
	}
	first, giveBack := take()
	second, _ := take()
	if first == second {
		t.Errorf("two commands at a time have the instance %s", first)
	}
	if !regexp.MustCompile(`^run-adalovel-desk7exa-[a-z2-7]{8}$`).MatchString(first) {
		t.Errorf("%s is no name that Kubernetes takes and people know", first)
	}
	if _, err := kube.New(t.Context(), kube.Options{Namespace: "reports", Image: "kernel", Instance: first, Kubeconfig: "no-such"}); strings.Contains(err.Error(), "instance") {
		t.Errorf("the engine does not take it: %v", err)
	}
	giveBack()
	if third, _ := take(); third != first {
		t.Errorf("what was left under %s is not found: the next command has %s", first, third)
	}
	if other, _, err := personalInstanceIn(t.TempDir(), "Ada.Lovelace@example", "desk-7.example.com"); err != nil || other == first {
		t.Errorf("a machine of the same name has the instance %s too, %v", other, err)
	}
}
