package gitsync

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// DefaultMaxFile is how many bytes a file may have where the options say nothing, and
// at most: larger ones are not even fetched.
const DefaultMaxFile = 64 << 20

// ErrTooLarge is what opening a file over the limit wraps.
var ErrTooLarge = errors.New("file is too large")

// maxDepth is how many folders may stand in each other. Deeper ones are listed
// as irregular, so that walking them ends.
const maxDepth = 64

// maxEntries is how many entries may stand below a folder. A few small Git trees
// that name each other many times over make billions, and a walk without end.
const maxEntries = 500_000

// tree is the file system of one commit.
type tree struct {
	objects *objects
	root    plumbing.Hash
	time    time.Time // of the commit: files have no other
	maxFile int64
}

// maxFolders is how many entries of folders are kept in memory.
const maxFolders = 120_000

// folders are a mirror's folders, each read when it is first asked for. They are kept for
// the next commit, which shares most of them.
type folders struct {
	mu      sync.Mutex // guards what follows
	byHash  map[plumbing.Hash]folder
	counts  map[place]int
	entries int // in byHash
}

func newFolders() *folders {
	return &folders{byHash: map[plumbing.Hash]folder{}, counts: map[place]int{}}
}

// place is a folder where it stands: how much is shown below it depends on that.
type place struct {
	hash  plumbing.Hash
	depth int
}

func newTree(o *objects, root plumbing.Hash, at time.Time, maxFile int64) *tree {
	return &tree{
		objects: o,
		root:    root,
		time:    at,
		maxFile: cmp.Or(maxFile, DefaultMaxFile),
	}
}

// node is an entry of a folder as the file system shows it.
type node struct {
	name    string
	mode    fs.FileMode // the type and the permissions
	hash    plumbing.Hash
	refused string // why it cannot be opened, "" where it can
}

// folder is sorted by name; names are unique and valid elements of a path.
type folder []node

func (f folder) find(name string) (node, bool) {
	i, ok := slices.BinarySearchFunc(f, name, func(n node, name string) int { return strings.Compare(n.name, name) })
	if !ok {
		return node{}, false
	}
	return f[i], true
}

// newFolder shows a Git tree's entries. Names that cannot stand in a path are
// shown escaped, and whatever shares its shown name with another is refused.
func newFolder(entries []entry) folder {
	f := make(folder, 0, len(entries))
	for _, e := range entries {
		f = append(f, newNode(e))
	}
	slices.SortStableFunc(f, func(a, b node) int { return strings.Compare(a.name, b.name) })
	unique := f[:0]
	for _, n := range f {
		if last := len(unique) - 1; last >= 0 && unique[last].name == n.name {
			unique[last] = node{name: n.name, mode: fs.ModeIrregular, refused: "the name is there twice"}
			continue
		}
		unique = append(unique, n)
	}
	return unique
}

func newNode(e entry) node {
	if why := unsafeName(e.name); why != "" {
		return node{name: shown(e.name), mode: fs.ModeIrregular, refused: fmt.Sprintf("the name %q %s", e.name, why)}
	}
	n := node{name: e.name, hash: e.hash}
	switch e.mode & 0o170000 {
	case 0o040000:
		n.mode = fs.ModeDir | 0o555
	case 0o100000:
		n.mode = 0o444 | fs.FileMode(e.mode&0o111)
	case 0o120000:
		n.mode, n.refused = fs.ModeSymlink, "symbolic links are not followed"
	case 0o160000:
		n.mode, n.refused = fs.ModeIrregular, "submodules are not fetched"
	default:
		n.mode, n.refused = fs.ModeIrregular, fmt.Sprintf("the mode %o is unknown", uint32(e.mode))
	}
	return n
}

// at returns the node of a path.
func (t *tree) at(op, name string) (node, error) {
	fail := func(err error) (node, error) { return node{}, &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	n := node{name: ".", mode: fs.ModeDir | 0o555, hash: t.root}
	if name == "." {
		return n, nil
	}
	for depth, element := range strings.Split(name, "/") {
		if n.refused != "" {
			return fail(errors.New(n.refused))
		}
		if !n.mode.IsDir() {
			return fail(fs.ErrNotExist)
		}
		nodes, err := t.folder(n.hash, depth)
		if err != nil {
			return fail(err)
		}
		var ok bool
		if n, ok = nodes.find(element); !ok {
			return fail(fs.ErrNotExist)
		}
	}
	return n, nil
}

// folder reads a Git tree that stands depth folders below the root.
func (t *tree) folder(hash plumbing.Hash, depth int) (folder, error) {
	nodes, err := t.load(hash)
	if err != nil || depth < maxDepth {
		return nodes, err
	}
	bounded := slices.Clone(nodes)
	for i, n := range bounded {
		if n.mode.IsDir() {
			bounded[i] = node{name: n.name, mode: fs.ModeIrregular, refused: fmt.Sprintf("more than %d folders stand in each other", maxDepth)}
		}
	}
	return bounded, nil
}

// entries counts what a walk would meet below a folder, up to a little more than
// maxEntries. What cannot be read counts as nothing, and so does what is below a folder
// that is refused for itself: the smallest that is a bomb is named, not all around it.
// The caller holds the folders' mu.
func (t *tree) entries(hash plumbing.Hash, depth int) int {
	if depth > maxDepth {
		return 0
	}
	at := place{hash, depth}
	if n, ok := t.objects.folders.counts[at]; ok {
		return n
	}
	nodes, err := t.loadLocked(hash)
	if err != nil {
		return 0
	}
	n := len(nodes)
	for _, child := range nodes {
		if child.mode.IsDir() && n <= maxEntries {
			if below := t.entries(child.hash, depth+1); below <= maxEntries {
				n += below
			}
		}
	}
	t.objects.folders.counts[at] = n
	return n
}

// withoutBombs shows folders with more than maxEntries below them as irregular.
func (t *tree) withoutBombs(nodes folder, depth int) folder {
	t.objects.folders.mu.Lock()
	defer t.objects.folders.mu.Unlock()
	shown := nodes
	for i, n := range nodes {
		if !n.mode.IsDir() || t.entries(n.hash, depth+1) <= maxEntries {
			continue
		}
		if &shown[0] == &nodes[0] { // which others read, too
			shown = slices.Clone(nodes)
		}
		shown[i] = node{name: n.name, mode: fs.ModeIrregular, refused: fmt.Sprintf("more than %d entries stand below it", maxEntries)}
	}
	return shown
}

func (t *tree) load(hash plumbing.Hash) (folder, error) {
	t.objects.folders.mu.Lock()
	defer t.objects.folders.mu.Unlock()
	return t.loadLocked(hash)
}

func (t *tree) loadLocked(hash plumbing.Hash) (folder, error) {
	known := t.objects.folders
	if f, ok := known.byHash[hash]; ok {
		return f, nil
	}
	data, err := t.objects.read(plumbing.TreeObject, hash)
	if err != nil {
		return nil, err
	}
	entries, err := parseTree(data)
	if err != nil {
		return nil, err
	}
	f := newFolder(entries)
	if known.entries += len(f); known.entries > maxFolders {
		clear(known.byHash)
		clear(known.counts)
		known.entries = len(f)
	}
	known.byHash[hash] = f
	return f, nil
}

// Open opens a file or a folder.
func (t *tree) Open(name string) (fs.File, error) {
	n, err := t.at("open", name)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		entries, err := t.ReadDir(name)
		return &openFolder{info: info{t, n}, path: name, rest: entries}, err
	}
	data, err := t.content("open", name, n)
	if err != nil {
		return nil, err
	}
	return &openFile{Reader: bytes.NewReader(data), info: info{t, n}}, nil
}

// ReadFile returns a file's content, which is the caller's.
func (t *tree) ReadFile(name string) ([]byte, error) {
	n, err := t.at("open", name)
	if err != nil {
		return nil, err
	}
	return t.content("read", name, n)
}

// content asks for the size first, where not every blob that a mirror holds may be read:
// it is inflated into memory.
func (t *tree) content(op, name string, n node) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, &fs.PathError{Op: op, Path: name, Err: err} }
	switch {
	case n.refused != "":
		return fail(errors.New(n.refused))
	case n.mode.IsDir():
		return fail(errors.New("is a folder"))
	}
	if t.maxFile < maxObject {
		size, err := t.objects.size(n.hash)
		if err != nil {
			return fail(leftOut(err))
		}
		if size > t.maxFile {
			return fail(fmt.Errorf("%w: it has %d bytes, and %d are allowed", ErrTooLarge, size, t.maxFile))
		}
	}
	data, err := t.objects.read(plumbing.BlobObject, n.hash)
	if err != nil {
		return fail(leftOut(err))
	}
	return data, nil
}

// leftOut explains why a mirror does not have a file.
func leftOut(err error) error {
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return fmt.Errorf("%w: more than %d bytes, so it was not fetched", ErrTooLarge, maxObject)
	}
	return err
}

// Stat describes a file, a folder, or an entry that cannot be opened.
func (t *tree) Stat(name string) (fs.FileInfo, error) {
	n, err := t.at("stat", name)
	if err != nil {
		return nil, err
	}
	return describe(t, n, name)
}

// ReadDir lists a folder by name.
func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.at("open", name)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New(cmp.Or(n.refused, "not a folder"))}
	}
	depth := 0
	if name != "." {
		depth = strings.Count(name, "/") + 1
	}
	nodes, err := t.folder(n.hash, depth)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	nodes = t.withoutBombs(nodes, depth)
	entries, all := make([]fs.DirEntry, len(nodes)), make([]dirEntry, len(nodes))
	for i, n := range nodes {
		all[i] = dirEntry{info{t, n}, name}
		entries[i] = &all[i]
	}
	return entries, nil
}

// info describes a node. Sizes are asked for one by one: a listing needs none.
type info struct {
	tree *tree
	node node
}

// Name is the last element of the path.
func (i info) Name() string { return i.node.name }

// Mode holds the type and the permissions.
func (i info) Mode() fs.FileMode { return i.node.mode }

// Type is Mode's type.
func (i info) Type() fs.FileMode { return i.node.mode.Type() }

// IsDir reports whether it is a folder.
func (i info) IsDir() bool { return i.node.mode.IsDir() }

// ModTime is the commit's time.
func (i info) ModTime() time.Time { return i.tree.time }

// Sys is the Git object's hash, as a string.
func (i info) Sys() any { return i.node.hash.String() }

type dirEntry struct {
	info
	folder string
}

// Info asks for the size.
func (e dirEntry) Info() (fs.FileInfo, error) {
	return describe(e.tree, e.node, path.Join(e.folder, e.node.name))
}

// Refused says why the entry cannot be opened, "" where it can.
func (e dirEntry) Refused() string { return e.node.refused }

// String is fs.FormatDirEntry's.
func (e dirEntry) String() string { return fs.FormatDirEntry(e) }

type sized struct {
	info
	size int64
}

// Size is the blob's size in bytes, 0 for what is no file.
func (s sized) Size() int64 { return s.size }

// String is fs.FormatFileInfo's.
func (s sized) String() string { return fs.FormatFileInfo(s) }

func describe(t *tree, n node, name string) (fs.FileInfo, error) {
	if !n.mode.IsRegular() {
		return sized{info: info{t, n}}, nil
	}
	size, err := t.objects.size(n.hash)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: leftOut(err)}
	}
	return sized{info{t, n}, size}, nil
}

// openFile is a blob in memory.
type openFile struct {
	*bytes.Reader
	info info
}

// Stat describes the file.
func (f *openFile) Stat() (fs.FileInfo, error) { return sized{f.info, f.Reader.Size()}, nil }

// Close has nothing to give back.
func (f *openFile) Close() error { return nil }

// openFolder is a folder that is being listed.
type openFolder struct {
	info info
	path string
	rest []fs.DirEntry
}

// Stat describes the folder.
func (f *openFolder) Stat() (fs.FileInfo, error) { return sized{info: f.info}, nil }

// Close has nothing to give back.
func (f *openFolder) Close() error { return nil }

// Read is an error: a folder has no content.
func (f *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.path, Err: errors.New("is a folder")}
}

// ReadDir lists the next n entries, or all that are left.
func (f *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(f.rest)
	} else if len(f.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.rest))
	entries := f.rest[:n:n]
	f.rest = f.rest[n:]
	return entries, nil
}

// entry is an entry of a Git tree, as it stands there.
type entry struct {
	name string
	mode filemode.FileMode
	hash plumbing.Hash
}
