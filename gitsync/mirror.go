package gitsync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// The bounds of a mirror.
const (
	maxPushed = 16 << 20 // bytes of pushed objects in memory
	maxPacks  = 100      // in one generation
)

// mirror is the local copy of a remote. It is written by this process alone.
//
// Each fetch adds a pack, and go-git cannot join them. So a mirror lives in
// generations, folders 1, 2, 3, ...: when one is crowded, the next fetch starts
// another. The one before stays for the trees that are being read.
type mirror struct {
	remote    *remote
	dir       string
	log       *slog.Logger
	maxPushed int64
	maxPacks  int

	turn chan struct{} // one token: who holds it may fetch or push

	mu         sync.Mutex // guards what follows
	generation int
	newest     *objects
	previous   *objects // nil where there is none
}

// openMirror opens the mirror of a remote under dir, making it where there is
// none. Each remote and use has a folder of its own there.
func openMirror(dir, use string, r *remote, log *slog.Logger) (*mirror, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	sum := sha256.Sum256([]byte(r.name))
	m := &mirror{
		remote:    r,
		dir:       filepath.Join(dir, use+"-"+hex.EncodeToString(sum[:8])),
		log:       log,
		maxPushed: maxPushed,
		maxPacks:  maxPacks,
		turn:      make(chan struct{}, 1),
	}
	if err := m.open(); err != nil {
		return nil, fmt.Errorf("mirror of %s: %w", r.name, err)
	}
	return m, nil
}

// errUnsound says that branches of a mirror point to what is not there.
var errUnsound = errors.New("a commit or its files are missing")

// open takes the newest generation that can be read and drops the rest.
func (m *mirror) open() error {
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return err
	}
	generations, err := m.generations()
	if err != nil {
		return err
	}
	for _, n := range slices.Backward(generations) {
		o, err := openObjects(m.folder(n))
		if err == nil && !o.sound() {
			err = errUnsound
		}
		if err == nil {
			m.generation, m.newest = n, o
			return m.drop(func(other int) bool { return other != n })
		}
		m.log.Warn("local mirror is incomplete, it is fetched anew", "remote", m.remote.name, "dir", m.folder(n), "error", err)
	}
	return m.startOver()
}

// startOver drops everything local. Trees opened before lose their files, so this
// is for a mirror that turned out to be damaged.
func (m *mirror) startOver() error {
	if err := m.drop(func(int) bool { return true }); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, err := openObjects(m.folder(m.generation + 1))
	if err != nil {
		return err
	}
	m.generation++
	m.newest, m.previous = o, nil
	return nil
}

// generations returns the numbers of the folders that are there, ascending.
func (m *mirror) generations() ([]int, error) {
	folders, err := os.ReadDir(m.dir)
	var found []int
	for _, f := range folders {
		if n, err := strconv.Atoi(f.Name()); err == nil {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return found, err
}

func (m *mirror) drop(unwanted func(generation int) bool) error {
	generations, err := m.generations()
	for _, n := range generations {
		if unwanted(n) {
			err = errors.Join(err, os.RemoveAll(m.folder(n)))
		}
	}
	return err
}

func (m *mirror) folder(generation int) string { return filepath.Join(m.dir, strconv.Itoa(generation)) }

// objects returns the newest generation.
func (m *mirror) objects() *objects {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.newest
}

// holding returns the generation that has a commit, or the newest.
func (m *mirror) holding(commit plumbing.Hash) *objects {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.previous != nil && !m.newest.has(commit) && m.previous.has(commit) {
		return m.previous
	}
	return m.newest
}

// take waits for the turn to write; the caller gives it back.
func (m *mirror) take(ctx context.Context) (giveBack func(), err error) {
	select {
	case m.turn <- struct{}{}:
		return func() { <-m.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fetch makes the tip of a branch local and returns the branch's name and tip.
// Where the tip is known already it costs one question. The caller has the turn.
func (m *mirror) fetch(ctx context.Context, branch string) (name string, tip plumbing.Hash, err error) {
	return m.fetchUnless(ctx, branch, m.objects().has)
}

func (m *mirror) fetchUnless(ctx context.Context, branch string, has func(plumbing.Hash) bool) (name string, tip plumbing.Hash, err error) {
	err = exchange(ctx, m.remote, m.remote.client.NewUploadPackSession, func(ctx context.Context, s transport.UploadPackSession, advertised refs) error {
		name, tip, err = advertised.tip(branch)
		if err != nil || has(tip) {
			return err
		}
		if m.objects().crowded(m.maxPacks) {
			return m.renew(ctx, s, advertised, name, tip)
		}
		return download(ctx, s, advertised, name, tip, m.objects())
	})
	if err != nil {
		return name, plumbing.ZeroHash, err
	}
	return name, tip, nil
}

// renew fetches a branch into a new generation. Other branches follow when they
// are asked for.
func (m *mirror) renew(ctx context.Context, s transport.UploadPackSession, advertised refs, branch string, tip plumbing.Hash) error {
	last := m.generation // changed by nobody else: the caller has the turn
	o, err := openObjects(m.folder(last + 1))
	if err != nil {
		return err
	}
	if err := download(ctx, s, advertised, branch, tip, o); err != nil {
		return errors.Join(err, os.RemoveAll(o.dir))
	}
	if head := m.objects().head(); head != "" {
		if err := o.setHead(head); err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.generation, m.newest, m.previous = last+1, o, m.newest
	m.mu.Unlock()
	return m.drop(func(n int) bool { return n < last })
}

// download takes a branch's tip with its tree and without its ancestors, and of
// that only what the tip taken before lacks. What is too large to be read stays where
// it is: on the remote, if it can leave it out, else it is passed over.
func download(ctx context.Context, s transport.UploadPackSession, advertised refs, branch string, tip plumbing.Hash, o *objects) error {
	request := packp.NewUploadPackRequestFromCapabilities(advertised.capabilities)
	request.Wants = []plumbing.Hash{tip}
	for _, c := range []capability.Capability{capability.Shallow, capability.NoProgress} {
		if advertised.capabilities.Supports(c) {
			request.Capabilities.Set(c)
		}
	}
	if advertised.capabilities.Supports(capability.Filter) {
		request.Capabilities.Set(capability.Filter)
		request.Filter = packp.FilterBlobLimit(maxObject+1, packp.BlobLimitPrefixNone)
	}
	if request.Capabilities.Supports(capability.Shallow) {
		request.Depth = packp.DepthCommits(1)
		if have := o.tip(branch); o.stored(have) {
			// Called shallow whether it is or not: a server that believed we had its
			// ancestors would leave out files that come back from them.
			request.Haves = []plumbing.Hash{have}
			request.Shallows = []plumbing.Hash{have}
			// Git leaves out what have's tree holds for thin packs only. All servers make
			// them, so it need not be asked for: go-git hides whether they say so.
			request.Capabilities.Set(capability.ThinPack)
		}
	}
	response, err := s.UploadPack(ctx, request)
	if err != nil {
		return err
	}
	defer response.Close()
	if err := o.addPack(demultiplexed(request.Capabilities, response)); err != nil {
		return err
	}
	return o.setTip(branch, tip)
}

func demultiplexed(caps *capability.List, r io.Reader) io.Reader {
	switch {
	case caps.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case caps.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}

// keepPushed keeps what was pushed to a branch, and when that has become much,
// fetches it back onto the disk. The caller has the turn.
func (m *mirror) keepPushed(ctx context.Context, branch string, added []plumbing.EncodedObject) error {
	o := m.objects()
	bytes, branches := o.push(branch, added)
	if bytes <= m.maxPushed {
		return nil
	}
	for _, branch := range branches {
		if _, _, err := m.fetchUnless(ctx, branch, m.objects().stored); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forgetPushed()
	return nil
}
