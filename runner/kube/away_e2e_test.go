package kube

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"nbpress/runner/internal/jupyter"
)

// line is a way to the API of a cluster that can break.
type line struct {
	to string

	mu    sync.Mutex // guards what follows
	down  bool
	conns map[net.Conn]bool
}

// newLine returns a way to the cluster's API and a kubeconfig that takes it.
func newLine(c *cluster) (*line, string) {
	c.Helper()
	config, err := clientcmd.LoadFromFile(c.kubeconfig)
	c.must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	c.must(err)
	l := &line{conns: map[net.Conn]bool{}}
	for _, there := range config.Clusters {
		address, err := url.Parse(there.Server)
		c.must(err)
		l.to = address.Host
		there.Server, there.TLSServerName = "https://"+listener.Addr().String(), address.Hostname()
	}
	file := filepath.Join(c.TempDir(), "kubeconfig")
	c.must(clientcmd.WriteToFile(*config, file))
	c.must(os.Chmod(file, 0o600))
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { l.carry(conn) })
		}
	})
	c.Cleanup(func() {
		_ = listener.Close()
		l.set(true)
		serving.Wait()
	})
	return l, file
}

// set breaks the line, with all that it carries, or mends it.
func (l *line) set(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	if down {
		for conn := range l.conns {
			_ = conn.Close()
		}
		clear(l.conns)
	}
}

// add remembers connections to be closed with the line. It says whether there is one.
func (l *line) add(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range conns {
		if l.down {
			_ = conn.Close()
			continue
		}
		l.conns[conn] = true
	}
	return !l.down
}

func (l *line) carry(near net.Conn) {
	defer near.Close()
	if !l.add(near) {
		return
	}
	far, err := net.DialTimeout("tcp", l.to, patience)
	if err != nil || !l.add(far) {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
	both.Wait()
}

// TestE2E_TheAPIMayBeAwayInMidRun: a kernel that runs does not need it, and what needs it
// waits for it.
func TestE2E_TheAPIMayBeAwayInMidRun(t *testing.T) {
	c := onCluster(t)
	api, kubeconfig := newLine(c)
	o := c.options()
	o.Kubeconfig = kubeconfig
	box := c.start(c.open(o), c.spec())
	must(t, box.Put(t.Context(), fstest.MapFS{"in": {Data: []byte("in")}}))
	client := kernelOn(t, box)
	passes(t, client, "before = open('in').read()")

	api.set(true)
	mended := time.AfterFunc(20*time.Second, func() { api.set(false) })
	defer mended.Stop()
	defer api.set(false)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	reply, err := client.Execute(ctx, "import time; time.sleep(1); open('out', 'w').write(before)", func(jupyter.Message) {})
	if err != nil || reply.Status != "ok" {
		t.Fatalf("a cell while the API was away: %+v, %v", reply, err)
	}
	must(t, box.StopKernel(ctx))
	got, err := box.Get(ctx, "out", 100)
	if err != nil || string(got) != "in" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestE2E_ALineThatBreaksInTheMiddleOfAFile is not told as an end of the file.
func TestE2E_ALineThatBreaksInTheMiddleOfAFile(t *testing.T) {
	c := onCluster(t)
	api, kubeconfig := newLine(c)
	o := c.options()
	o.Kubeconfig = kubeconfig
	box := c.start(c.open(o), c.spec())
	large := strings.Repeat("0123456789abcde\n", 1<<21) // 32 MiB
	broken := false
	breaking := &readSignal{FS: fstest.MapFS{"large": {Data: []byte(large)}}, after: 8 << 20, then: func() {
		if !broken {
			broken = true
			api.set(true)
			api.set(false)
		}
	}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, box.Put(ctx, breaking))
	if !broken {
		t.Error("the line did not break")
	}
	got, err := box.Get(ctx, "large", int64(len(large)))
	if err != nil || string(got) != large {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// readSignal calls then when a file was read so far.
type readSignal struct {
	fs.FS
	after int
	then  func()
}

// Open implements fs.FS.
func (r *readSignal) Open(name string) (fs.File, error) {
	file, err := r.FS.Open(name)
	if name == "." || err != nil {
		return file, err
	}
	return &signalFile{File: file, signal: r}, nil
}

type signalFile struct {
	fs.File
	signal *readSignal
	read   int
}

func (f *signalFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if f.read += n; f.read >= f.signal.after {
		f.signal.then()
	}
	return n, err
}
