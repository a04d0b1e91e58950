package gitsync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// cacheSize bounds the inflated objects that one mirror keeps in memory.
const cacheSize = 8 * cache.MiByte

// maxPushed bounds the bytes of pushed objects that a mirror keeps in memory.
const maxPushed = 16 << 20

// mirror is a bare repository on the local disk that holds some commits of a
// remote, each without its ancestors. It is written by this process alone.
//
// On the disk is only what came from the remote as packs, flushed before a branch
// points to it. What this process pushed stays in memory: go-git's loose objects
// do not survive a power cut, and the remote gives it all back at the next start.
type mirror struct {
	remote *remote
	dir    string
	log    *slog.Logger
	limit  int64 // of bytes

	turn chan struct{} // one token: who holds it may fetch or extend

	mu     sync.Mutex // guards store, which is not safe for concurrent use, and what follows
	store  *filesystem.Storage
	pushed map[plumbing.Hash]plumbing.EncodedObject
	bytes  int64           // in pushed
	ahead  map[string]bool // branches with a tip in pushed
}

// openMirror opens the mirror of a remote under dir, making it where there is
// none. Each remote and use has a folder of its own there.
func openMirror(dir, use string, r *remote, log *slog.Logger) (*mirror, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	sum := sha256.Sum256([]byte(r.name))
	m := &mirror{
		remote: r,
		dir:    filepath.Join(dir, use+"-"+hex.EncodeToString(sum[:8])+".git"),
		log:    log,
		limit:  maxPushed,
		turn:   make(chan struct{}, 1),
	}
	err := m.open()
	if err == nil && !m.sound() {
		err = m.reset()
	}
	if err != nil {
		return nil, fmt.Errorf("mirror of %s: %w", r.name, err)
	}
	return m, nil
}

// sound reports whether the packs have readable indexes, and each branch a commit
// and a root.
func (m *mirror) sound() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	refs, err := m.store.IterReferences()
	if err != nil {
		return false
	}
	defer refs.Close()
	if err := m.store.HasEncodedObject(plumbing.ZeroHash); !errors.Is(err, plumbing.ErrObjectNotFound) {
		return false
	}
	return nil == refs.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() != plumbing.HashReference {
			return nil
		}
		c, err := object.GetCommit(m.store, ref.Hash())
		if err != nil {
			return err
		}
		_, err = m.store.EncodedObject(plumbing.TreeObject, c.TreeHash)
		return err
	})
}

func (m *mirror) open() error {
	m.store = m.newStore()
	m.forgetPushed()
	m.dropPartialPacks()
	return m.store.Init()
}

func (m *mirror) newStore() *filesystem.Storage {
	return filesystem.NewStorage(osfs.New(m.dir), cache.NewObjectLRU(cacheSize))
}

// reset removes everything local. Trees opened before lose their files, so this
// is for a mirror that turned out to be damaged.
func (m *mirror) reset() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log.Warn("local mirror is damaged, starting over", "remote", m.remote.name, "dir", m.dir)
	if err := os.RemoveAll(m.dir); err != nil {
		return err
	}
	return m.open()
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
	return m.fetchUnless(ctx, branch, m.has)
}

func (m *mirror) fetchUnless(ctx context.Context, branch string, has func(plumbing.Hash) bool) (name string, tip plumbing.Hash, err error) {
	err = exchange(ctx, m.remote, m.remote.client.NewUploadPackSession, func(ctx context.Context, s transport.UploadPackSession, advertised refs) error {
		name, tip, err = advertised.tip(branch)
		if err != nil || has(tip) {
			return err
		}
		have := m.tip(name)
		if !m.stored(have) {
			have = plumbing.ZeroHash
		}
		if err := m.download(ctx, s, advertised, tip, have); err != nil {
			return err
		}
		return m.setTip(name, tip)
	})
	if err != nil {
		return name, plumbing.ZeroHash, err
	}
	return name, tip, nil
}

// download takes a commit with its tree and without its ancestors, and of that
// only what the commit have lacks.
func (m *mirror) download(ctx context.Context, s transport.UploadPackSession, advertised refs, want, have plumbing.Hash) error {
	request := packp.NewUploadPackRequestFromCapabilities(advertised.capabilities)
	request.Wants = []plumbing.Hash{want}
	for _, c := range []capability.Capability{capability.Shallow, capability.NoProgress} {
		if advertised.capabilities.Supports(c) {
			request.Capabilities.Set(c)
		}
	}
	if request.Capabilities.Supports(capability.Shallow) {
		request.Depth = packp.DepthCommits(1)
		if !have.IsZero() {
			// Called shallow whether it is or not: a server that believed we had its
			// ancestors would leave out files that come back from them.
			request.Haves = []plumbing.Hash{have}
			request.Shallows = []plumbing.Hash{have}
		}
	}
	response, err := s.UploadPack(ctx, request)
	if err != nil {
		return err
	}
	defer response.Close()
	return m.addPack(demultiplexed(request.Capabilities, response))
}

// addPack writes a pack beside the others through a storage of its own, so that
// readers wait for the network at no time.
func (m *mirror) addPack(pack io.Reader) error {
	defer m.dropPartialPacks()
	if err := packfile.UpdateObjectStorage(m.newStore(), pack); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	if err := syncFiles(m.packs()); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store.Reindex()
	return nil
}

func (m *mirror) packs() string { return filepath.Join(m.dir, "objects", "pack") }

// dropPartialPacks removes what interrupted downloads leave behind.
func (m *mirror) dropPartialPacks() {
	partial, _ := filepath.Glob(filepath.Join(m.packs(), "tmp_*")) // the pattern is well-formed
	for _, name := range partial {
		if err := os.Remove(name); err != nil {
			m.log.Warn("partial pack stays", "error", err)
		}
	}
}

// syncFiles flushes a folder's files to the disk: go-git does not, and a branch
// must not point to what a power cut took back.
func syncFiles(dir string) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, path := range append([]string{dir}, paths(dir, names)...) {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func paths(dir string, names []os.DirEntry) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = filepath.Join(dir, name.Name())
	}
	return all
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

// keepPushed keeps what was pushed to a branch, and when that has become much, fetches
// it back onto the disk. The caller has the turn.
func (m *mirror) keepPushed(ctx context.Context, branch string, objects []plumbing.EncodedObject) error {
	m.mu.Lock()
	for _, o := range objects {
		m.pushed[o.Hash()] = o
		m.bytes += o.Size()
	}
	m.ahead[branch] = true
	branches := slices.Sorted(maps.Keys(m.ahead))
	full := m.bytes > m.limit
	m.mu.Unlock()
	if !full {
		return nil
	}
	for _, branch := range branches {
		if _, _, err := m.fetchUnless(ctx, branch, m.stored); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetPushed()
	return nil
}

func (m *mirror) forgetPushed() {
	m.pushed, m.bytes, m.ahead = map[plumbing.Hash]plumbing.EncodedObject{}, 0, map[string]bool{}
}

// has reports whether a commit, and with it its tree, is here.
func (m *mirror) has(commit plumbing.Hash) bool {
	_, err := m.commit(commit)
	return err == nil
}

// stored reports whether a commit is here on the disk.
func (m *mirror) stored(commit plumbing.Hash) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.store.HasEncodedObject(commit) == nil
}

// commit reads a commit.
func (m *mirror) commit(hash plumbing.Hash) (*object.Commit, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, err := m.object(plumbing.CommitObject, hash)
	if err != nil {
		return nil, err
	}
	c := &object.Commit{}
	return c, c.Decode(o)
}

// read returns the whole content of an object.
func (m *mirror) read(kind plumbing.ObjectType, hash plumbing.Hash) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, err := m.object(kind, hash)
	if err != nil {
		return nil, err
	}
	r, err := o.Reader()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// object is for callers that hold mu, which they keep while they read from it.
func (m *mirror) object(kind plumbing.ObjectType, hash plumbing.Hash) (plumbing.EncodedObject, error) {
	if o, ok := m.pushed[hash]; ok {
		return o, nil
	}
	return m.store.EncodedObject(kind, hash)
}

// size returns the size of an object without inflating it.
func (m *mirror) size(hash plumbing.Hash) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.pushed[hash]; ok {
		return o.Size(), nil
	}
	return m.store.EncodedObjectSize(hash)
}

// tip returns the last commit of a branch that was taken, zero where there is none.
func (m *mirror) tip(branch string) plumbing.Hash {
	m.mu.Lock()
	defer m.mu.Unlock()
	ref, err := m.store.Reference(plumbing.NewBranchReferenceName(branch))
	if err != nil {
		return plumbing.ZeroHash // as well as for a file that a power cut emptied
	}
	return ref.Hash()
}

func (m *mirror) setTip(branch string, tip plumbing.Hash) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	ref := plumbing.NewHashReference(plumbing.NewBranchReferenceName(branch), tip)
	return m.store.SetReference(ref)
}

// head returns the branch that the remote's HEAD named when it was last asked.
func (m *mirror) head() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	ref, err := m.store.Reference(plumbing.HEAD)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(ref.Target().String(), "refs/heads/")
}

func (m *mirror) setHead(branch string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.store.SetReference(plumbing.NewSymbolicReference(plumbing.HEAD, plumbing.NewBranchReferenceName(branch)))
}
