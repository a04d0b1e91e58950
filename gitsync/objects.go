package gitsync

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// cacheSize bounds the inflated objects that one store keeps in memory.
const cacheSize = 8 * cache.MiByte

// objects is a bare repository on the local disk, and what was pushed since it was
// written: commits without their ancestors, complete in themselves.
//
// On the disk is only what came from the remote as packs, flushed before a branch
// points to it. What this process pushed stays in memory: go-git's loose objects
// do not survive a power cut, and the remote gives it all back.
type objects struct {
	dir     string
	folders *folders

	mu     sync.Mutex // guards what follows: go-git's storage is not safe for concurrent use
	store  *filesystem.Storage
	pushed map[plumbing.Hash]plumbing.EncodedObject
	bytes  int64           // in pushed
	ahead  map[string]bool // branches with a tip in pushed
}

// openObjects opens the bare repository dir, making it where there is none.
func openObjects(dir string) (*objects, error) {
	o := &objects{dir: dir, folders: newFolders()}
	o.store = o.newStore()
	o.forgetPushed()
	if err := o.dropPartialPacks(); err != nil {
		return nil, err
	}
	return o, o.store.Init()
}

func (o *objects) newStore() *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(o.dir), cache.NewObjectLRU(cacheSize), filesystem.Options{
		MaxOpenDescriptors: 4, // else it opens a pack anew for each object
	})
}

// contentsFile lists the packs that must be there.
const contentsFile = "contents"

// contents are the packs' names and sizes, a line each.
func (o *objects) contents() (string, error) {
	packs, err := filepath.Glob(filepath.Join(o.packs(), "*.pack"))
	var b strings.Builder
	for _, pack := range packs {
		info, statErr := os.Stat(pack)
		if err = errors.Join(err, statErr); statErr == nil {
			fmt.Fprintf(&b, "%s %d\n", info.Name(), info.Size())
		}
	}
	return b.String(), err
}

func (o *objects) writeContents() error {
	list, err := o.contents()
	if err != nil {
		return err
	}
	temporary := filepath.Join(o.packs(), "tmp_contents")
	if err := os.WriteFile(temporary, []byte(list), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(o.packs(), contentsFile))
}

// complete reports whether no pack was lost or cut since it was written: each holds
// only what those before it lack.
func (o *objects) complete() bool {
	now, err := o.contents()
	if err != nil {
		return false
	}
	listed, err := os.ReadFile(filepath.Join(o.packs(), contentsFile))
	if err != nil {
		return now == ""
	}
	for line := range strings.Lines(string(listed)) {
		if !strings.Contains(now, line) {
			return false
		}
	}
	return true
}

// sound reports whether every branch has its commit and its root, and
// whether the packs are there and have readable indexes.
func (o *objects) sound() bool {
	if !o.complete() {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.store.HasEncodedObject(plumbing.ZeroHash); !errors.Is(err, plumbing.ErrObjectNotFound) {
		return false
	}
	refs, err := o.store.IterReferences()
	if err != nil {
		return false
	}
	defer refs.Close()
	err = refs.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() != plumbing.HashReference {
			return nil
		}
		c, err := object.GetCommit(o.store, ref.Hash())
		if err != nil {
			return err
		}
		_, err = o.store.EncodedObject(plumbing.TreeObject, c.TreeHash)
		return err
	})
	return err == nil // a mirror that never fetched has no branches, and lacks nothing
}

// addPack writes a pack beside the others. Readers wait for the network at no time.
func (o *objects) addPack(pack io.Reader) error {
	err := os.MkdirAll(o.packs(), 0o755)
	if err == nil {
		err = writePack(o.packs(), pack, o.known)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("pack: %w", err), o.dropPartialPacks())
	}
	if err := errors.Join(o.writeContents(), syncFiles(o.packs())); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.store.Reindex()
	return nil
}

func (o *objects) packs() string { return filepath.Join(o.dir, "objects", "pack") }

// crowded reports whether the packs have become so many that looking through
// them costs more than fetching anew.
func (o *objects) crowded(limit int) bool {
	files, err := filepath.Glob(filepath.Join(o.packs(), "*.pack"))
	return err == nil && len(files) > limit
}

// dropPartialPacks removes what interrupted downloads leave behind.
func (o *objects) dropPartialPacks() error {
	partial, err := filepath.Glob(filepath.Join(o.packs(), "tmp_*"))
	for _, name := range partial {
		err = errors.Join(err, os.Remove(name))
	}
	return err
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

// push adds what was pushed to a branch, and returns how many bytes of such there
// are and on which branches.
func (o *objects) push(branch string, added []plumbing.EncodedObject) (int64, []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range added {
		o.pushed[a.Hash()] = a
		o.bytes += a.Size()
	}
	o.ahead[branch] = true
	return o.bytes, slices.Sorted(maps.Keys(o.ahead))
}

func (o *objects) forgetPushed() {
	o.pushed, o.bytes, o.ahead = map[plumbing.Hash]plumbing.EncodedObject{}, 0, map[string]bool{}
}

// has reports whether a commit, and with it its tree, is here.
func (o *objects) has(commit plumbing.Hash) bool {
	_, err := o.commit(commit)
	return err == nil
}

// stored reports whether a commit is here on the disk.
func (o *objects) stored(commit plumbing.Hash) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.store.HasEncodedObject(commit) == nil
}

// commit reads a commit.
func (o *objects) commit(hash plumbing.Hash) (*object.Commit, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found, err := o.object(plumbing.CommitObject, hash)
	if err != nil {
		return nil, err
	}
	c := &object.Commit{}
	return c, c.Decode(found)
}

// read returns the whole content of an object.
func (o *objects) read(kind plumbing.ObjectType, hash plumbing.Hash) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found, err := o.object(kind, hash)
	if err != nil {
		return nil, err
	}
	r, err := found.Reader()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// known returns an object of any kind.
func (o *objects) known(hash plumbing.Hash) (plumbing.ObjectType, []byte, error) {
	o.mu.Lock()
	found, err := o.object(plumbing.AnyObject, hash)
	o.mu.Unlock()
	if err != nil {
		return plumbing.InvalidObject, nil, err
	}
	data, err := o.read(found.Type(), hash)
	return found.Type(), data, err
}

// object is for callers that hold mu, which they keep while they read from it.
func (o *objects) object(kind plumbing.ObjectType, hash plumbing.Hash) (plumbing.EncodedObject, error) {
	if found, ok := o.pushed[hash]; ok {
		return found, nil
	}
	return o.store.EncodedObject(kind, hash)
}

// size returns the size of an object without inflating it.
func (o *objects) size(hash plumbing.Hash) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if found, ok := o.pushed[hash]; ok {
		return found.Size(), nil
	}
	return o.store.EncodedObjectSize(hash)
}

// tip returns the last commit of a branch that was taken, zero where there is none.
func (o *objects) tip(branch string) plumbing.Hash {
	o.mu.Lock()
	defer o.mu.Unlock()
	ref, err := o.store.Reference(plumbing.NewBranchReferenceName(branch))
	if err != nil {
		return plumbing.ZeroHash // as well as for a file that a power cut emptied
	}
	return ref.Hash()
}

func (o *objects) setTip(branch string, tip plumbing.Hash) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	ref := plumbing.NewHashReference(plumbing.NewBranchReferenceName(branch), tip)
	return o.store.SetReference(ref)
}

// head returns the branch that the remote's HEAD named when it was last asked.
func (o *objects) head() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	ref, err := o.store.Reference(plumbing.HEAD)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(ref.Target().String(), "refs/heads/")
}

func (o *objects) setHead(branch string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.store.SetReference(plumbing.NewSymbolicReference(plumbing.HEAD, plumbing.NewBranchReferenceName(branch)))
}
