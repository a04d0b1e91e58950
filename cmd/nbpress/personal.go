package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// personal is where a person's command runs reports: the engine of an nbpress.yaml, apart
// from the agent that works with the same file.
type personal struct {
	config     string // the file; "": the engine is this machine, as without an agent
	kubeconfig string // in place of the file's
}

// flags adds the flags that name it.
func (p *personal) flags(cmd *cobra.Command, config string) {
	f := cmd.Flags()
	f.StringVar(&p.config, "config", config, "the agent's configuration: run where it does, in its cluster or with its Python")
	f.StringVar(&p.kubeconfig, "kubeconfig", "", "the file that says how to reach the cluster, in place of the configuration's (default, outside of a cluster: $KUBECONFIG, or ~/.kube/config)")
}

// open opens the engine. In a cluster it is an instance of this person's own, whose pods
// an agent neither sees nor removes; what a killed command left is removed now.
func (p personal) open(ctx context.Context, log *slog.Logger) (engine, error) {
	c, err := readConfig(p.config)
	if err != nil {
		return engine{}, err
	}
	k := c.Executor.Kubernetes
	if k == nil && p.kubeconfig != "" {
		return engine{}, wrongUse(fmt.Errorf("--kubeconfig is for a cluster, and %s has no executor.kubernetes", p.config))
	}
	if k == nil {
		return openLocal(ctx, c, log)
	}
	if k.Kubeconfig = cmp.Or(p.kubeconfig, k.Kubeconfig, ownKubeconfig(os.Getenv)); k.Kubeconfig != "" {
		k.Forward = true // pods' addresses are the cluster's own
	}
	instance, giveBack, err := personalInstance()
	if err != nil {
		return engine{}, err
	}
	k.Instance = instance
	e, err := openKubernetes(ctx, k.options(1, log))
	if err != nil {
		giveBack()
		return e, err
	}
	disconnect := e.close
	e.close = func() {
		disconnect()
		giveBack()
	}
	if err := e.begin(ctx); err != nil {
		e.close()
		return engine{}, fmt.Errorf("clear what an earlier command left: %w", err)
	}
	return e, nil
}

// ownKubeconfig returns the file that kubectl would take, "" within a pod of a cluster,
// and where there is none.
func ownKubeconfig(getenv func(string) string) string {
	if getenv("KUBERNETES_SERVICE_HOST") != "" {
		return ""
	}
	if path := getenv("KUBECONFIG"); path != "" {
		return path
	}
	if path := filepath.Join(getenv("HOME"), ".kube", "config"); exists(path) {
		return path
	}
	return ""
}

// maxPersonal is how many commands one person runs in clusters at a time.
const maxPersonal = 100

// personalInstance returns an instance that no other living command has, and what gives
// it back. It is the lowest that is free, so that the next command finds what a killed one
// left.
func personalInstance() (name string, giveBack func(), err error) {
	folder, err := os.UserCacheDir()
	if err != nil {
		folder = filepath.Join(os.TempDir(), fmt.Sprintf("nbpress-%d-cache", os.Getuid()))
	}
	who := "user"
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	host, _ := os.Hostname() // it only helps people to see whose a pod is
	return personalInstanceIn(filepath.Join(folder, "nbpress", "instances"), who, host)
}

func personalInstanceIn(folder, who, host string) (name string, giveBack func(), err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", nil, err
	}
	for n := range maxPersonal {
		lock, err := tryLock(filepath.Join(folder, fmt.Sprint(n)))
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		id, err := ownID(lock)
		if err != nil {
			return "", nil, errors.Join(err, lock.Close())
		}
		return fmt.Sprintf("run-%s-%s-%s", label(who, 8), label(host, 8), id), func() { _ = lock.Close() }, nil
	}
	return "", nil, fmt.Errorf("%d commands run in clusters already; wait for one, or remove %s", maxPersonal, folder)
}

// ownID returns the random text in a file, which it writes there the first time: two
// machines may have one name.
func ownID(file *os.File) (string, error) {
	id := make([]byte, 8)
	if n, _ := file.ReadAt(id, 0); n == len(id) { // what is too short was not written to its end
		if text := label(string(id), len(id)); text == string(id) {
			return text, nil
		}
	}
	text := strings.ToLower(rand.Text()[:len(id)])
	_, err := file.WriteAt([]byte(text), 0)
	return text, err
}

// label makes of a text what Kubernetes takes within a name: at most so many lower-case
// letters and digits.
func label(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(text))
	return cmp.Or(text[:min(len(text), most)], "x")
}
