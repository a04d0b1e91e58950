package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"nbpress/internal/testenv"
	"nbpress/runner"
)

// These tests hold deploy/kubernetes against the program that is deployed with it.

func TestDeploy_ConfigurationsAreRead(t *testing.T) {
	folder := filepath.Join(testenv.Root(t), "deploy", "kubernetes")
	for _, name := range []string{"base", "overlays/example"} {
		c, err := readConfig(filepath.Join(folder, filepath.FromSlash(name), "nbpress.yaml"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.Executor.Kubernetes == nil || c.Store.S3.Bucket == "" || c.Listen != ":8080" || c.State != "/var/lib/nbpress" {
			t.Errorf("%s: an agent in a cluster has pods, a bucket, the port and the folder of its Deployment: %+v", name, c)
		}
	}
}

// TestDeploy_AlertsAskForMetricsThatAreThere finds misspelt metrics, labels' values and
// codes, which Prometheus would take for silence.
func TestDeploy_AlertsAskForMetricsThatAreThere(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join(testenv.Root(t), "deploy", "kubernetes", "components", "monitoring", "prometheusrule.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	described := make(chan *prometheus.Desc, 1000)
	newMetrics(func() *agent { return nil }).registry.Describe(described)
	close(described)
	var metrics []string
	for d := range described {
		metrics = append(metrics, regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1])
	}
	asked := regexp.MustCompile(`\bnbpress_[a-z_]+`).FindAllString(string(rules), -1)
	if len(asked) < 5 {
		t.Errorf("the alerts ask for %v only", asked)
	}
	for _, name := range asked {
		if !slices.Contains(metrics, name) {
			t.Errorf("there is no metric %s, but %v", name, metrics)
		}
	}

	listed := regexp.MustCompile(`code=~"([^"]+)"`).FindStringSubmatch(string(rules))
	if listed == nil {
		t.Fatal("no alert is about codes")
	}
	got := strings.Split(listed[1], "|")
	for _, code := range runner.Codes() {
		if platform := code.Fault() == runner.FaultPlatform; platform != slices.Contains(got, string(code)) {
			t.Errorf("code %s is of fault %s; alerted: %v", code, code.Fault(), !platform)
		}
	}
}
