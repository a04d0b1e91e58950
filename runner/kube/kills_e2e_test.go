package kube

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nbpress/runner"
)

// lifeEnv makes the test binary an agent at work in the namespace that it names.
const lifeEnv = "NBPRESS_E2E_LIFE"

func TestMain(m *testing.M) {
	if namespace := os.Getenv(lifeEnv); namespace != "" {
		if err := live(namespace); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// live is an agent's life: it begins, says so, and makes attempts, three at a time, until its
// standard input ends.
func live(namespace string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	e, err := New(ctx, smallPods(os.Getenv("KUBECONFIG"), namespace, os.Getenv("NBPRESS_E2E_IMAGE"), log))
	if err != nil {
		return err
	}
	defer e.Close()
	if err := e.Begin(ctx); err != nil {
		return err
	}
	fmt.Println("begun")
	bundle := tiny("report", 1)
	var working sync.WaitGroup
	for range 3 {
		working.Go(func() {
			for ctx.Err() == nil {
				outcome, err := runner.Press(ctx, e, runner.Job{
					Run: runner.RunID("test" + strings.ToLower(rand.Text()[:16])), Generation: 1, Attempt: 1, Report: bundle.Name,
					Bundle: bundle, Asset: bundle.Config.Assets[0], Languages: bundle.Config.Languages,
				})
				log.Info("an attempt ended", "error", err, "failure", outcome.Failure)
			}
		})
	}
	working.Wait()
	return nil
}

// killPatience is how soon after a kill nothing may be left of the dead, if its next life
// begins at once.
const killPatience = time.Minute

// TestE2E_Kills kills agents in the middle of attempts. What each leaves, the next life's
// Begin removes, and nothing of another's that works beside it.
func TestE2E_Kills(t *testing.T) {
	t.Parallel()
	kills := number(t, "NBPRESS_E2E_KILLS", 8)
	c := onCluster(t)
	theirs, spec := c.options(), c.spec()
	theirs.Instance, spec.Deadline = "press-2", time.Now().Add(6*time.Hour)
	neighbour := c.start(c.open(theirs), spec)
	must(t, neighbour.Put(t.Context(), fstest.MapFS{}))
	client := kernelOn(t, neighbour)

	dead := selector("press")
	found, longest, delays := 0, time.Duration(0), []time.Duration(nil)
	for range kills {
		delay := mathrand.N(8 * time.Second).Round(time.Millisecond)
		delays = append(delays, delay)
		c.killAgent(delay)
		killed := time.Now()
		found += len(c.selected(dead))
		c.beginAnew()
		if left := strings.Join(c.selected(dead), ", "); strings.Contains(left, "pod ") {
			t.Errorf("after Begin there is %s", left)
		}
		c.eventually("the cluster removes the Secrets with their pods", func() bool { return len(c.selected(dead)) == 0 })
		longest = max(longest, time.Since(killed))

		passes(t, client, "1")
		pod, err := c.client.pods.Get(t.Context(), neighbour.name, metav1.GetOptions{})
		must(t, err)
		if pod.UID != neighbour.pod() || pod.DeletionTimestamp != nil || len(c.selected(selector("press-2"))) != 2 {
			t.Fatalf("what is another's was touched: pod %s, deleted %v, and %q", pod.UID, pod.DeletionTimestamp, c.selected(selector("press-2")))
		}
	}
	t.Logf("%d agents killed after %v; they left %d pods and Secrets in all; all of a dead one's were gone within %.1f s",
		kills, delays, found, longest.Seconds())
	if longest > killPatience {
		t.Errorf("that is more than %v", killPatience)
	}
	if found == 0 {
		t.Error("none of them was killed at work")
	}
}

// killAgent lets an agent live until so long after its beginning.
func (c *cluster) killAgent(after time.Duration) {
	c.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), lifeEnv+"="+c.namespace)
	cmd.Stderr = c.Output()
	stdin, err := cmd.StdinPipe() // ends with this process at the latest, and the agent with it
	c.must(err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	c.must(err)
	c.must(cmd.Start())
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	late.Stop()
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stdout)
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(after):
	}
	_ = cmd.Process.Kill() // it may have ended
	<-ended
	err = cmd.Wait()
	if line != "begun\n" || cmd.ProcessState.Exited() {
		c.Fatalf("the agent said %q and ended by itself: %v", line, err)
	}
}

// beginAnew begins the next life of the agent that was killed.
func (c *cluster) beginAnew() {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	e, err := New(ctx, c.options())
	c.must(err)
	defer e.Close()
	c.must(e.Begin(ctx))
}
