package gitsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"
)

// draft is a commit that is not pushed yet, as the objects that it adds to what
// its parent has.
type draft struct {
	branch  string
	read    func(plumbing.ObjectType, plumbing.Hash) ([]byte, error) // objects of the parent
	keep    func(path string, old, new []byte) bool
	objects []plumbing.EncodedObject // blobs, trees, the commit: each after what it names
	commit  plumbing.Hash
}

// draft builds a change on a tip, zero for a branch that does not exist. Where the
// tip holds the change already, the draft's commit is the tip.
func (l *Ledger) draft(c Change, tip plumbing.Hash) (*draft, error) {
	d := &draft{branch: c.Branch, read: l.mirror.objects().read, keep: c.Keep, commit: tip}
	var parents []plumbing.Hash
	var old plumbing.Hash
	if !tip.IsZero() {
		parent, err := l.mirror.objects().commit(tip)
		if err != nil {
			return nil, fmt.Errorf("%w: commit %s: %w", errDamaged, tip, err)
		}
		parents, old = []plumbing.Hash{tip}, parent.TreeHash
	}
	root, err := d.tree("", old, edits(c))
	if err != nil || root == old {
		return d, err
	}
	if root.IsZero() { // Git knows a commit of nothing, but not one without a tree
		root = d.add(plumbing.TreeObject, nil)
	}
	signature := object.Signature{Name: c.Author.Name, Email: c.Author.Email, When: time.Now()}
	commit := object.Commit{Author: signature, Committer: signature, Message: c.message(), TreeHash: root, ParentHashes: parents}
	o := &plumbing.MemoryObject{}
	if err := commit.Encode(o); err != nil {
		return nil, err
	}
	d.objects = append(d.objects, o)
	d.commit = o.Hash()
	return d, nil
}

// edit is one path's new content, or its removal.
type edit struct {
	path   string // below the folder that is being edited
	data   []byte
	remove bool
}

// edits are sorted so that those of one folder stand together.
func edits(c Change) []edit {
	var all []edit
	for name, data := range c.Files {
		all = append(all, edit{path: name, data: data})
	}
	for _, name := range c.Delete {
		all = append(all, edit{path: name, remove: true})
	}
	slices.SortFunc(all, func(a, b edit) int { return strings.Compare(a.path, b.path) })
	return all
}

// tree applies edits to a folder and returns its new hash: the old one where
// nothing changes, zero where nothing is left.
func (d *draft) tree(folder string, old plumbing.Hash, edits []edit) (plumbing.Hash, error) {
	entries, err := d.entries(folder, old)
	if err != nil {
		return old, err
	}
	changed := false
	below := map[string][]edit{}
	for _, e := range edits {
		if name, rest, ok := strings.Cut(e.path, "/"); ok {
			below[name] = append(below[name], edit{rest, e.data, e.remove})
			continue
		}
		now, err := d.file(folder+e.path, entries[e.path], e)
		if err != nil {
			return old, err
		}
		changed = put(entries, e.path, now) || changed
	}
	for _, name := range slices.Sorted(maps.Keys(below)) {
		was := entries[name]
		if was.name != "" && !was.isFolder() {
			return old, d.noRoom("%s%s is not a folder on the branch", folder, name)
		}
		hash, err := d.tree(folder+name+"/", was.hash, below[name])
		if err != nil {
			return old, err
		}
		changed = put(entries, name, entry{name: name, mode: filemode.Dir, hash: hash}) || changed
	}
	switch {
	case !changed:
		return old, nil
	case len(entries) == 0:
		return plumbing.ZeroHash, nil
	}
	return d.add(plumbing.TreeObject, encodeTree(slices.Collect(maps.Values(entries)))), nil
}

// noRoom is an error of an edit that others' files are in the way of.
func (d *draft) noRoom(format string, args ...any) error {
	return &DeclinedError{Branch: d.branch, Reason: fmt.Sprintf(format, args...)}
}

// put replaces a folder's entry, removes it where the new one has no hash, and
// reports whether that changed anything.
func put(entries map[string]entry, name string, now entry) bool {
	was, ok := entries[name]
	if now.hash == was.hash {
		return false
	}
	if now.hash.IsZero() {
		delete(entries, name)
		return ok
	}
	entries[name] = now
	return true
}

// entries reads a folder of the parent by name.
func (d *draft) entries(folder string, hash plumbing.Hash) (map[string]entry, error) {
	byName := map[string]entry{}
	if hash.IsZero() {
		return byName, nil
	}
	data, err := d.read(plumbing.TreeObject, hash)
	if err != nil {
		return nil, fmt.Errorf("%w: folder %q: %w", errDamaged, folder, err)
	}
	entries, err := parseTree(data)
	if err != nil {
		return nil, fmt.Errorf("folder %q of the branch: %w", folder, err)
	}
	for _, e := range entries {
		byName[e.name] = e
	}
	return byName, nil
}

// file returns the entry that an edit makes of what stands at its path.
func (d *draft) file(name string, was entry, e edit) (entry, error) {
	if was.name != "" && was.isFolder() {
		return was, d.noRoom("%s is a folder on the branch", name)
	}
	if e.remove {
		return entry{}, nil
	}
	hash := plumbing.ComputeHash(plumbing.BlobObject, e.data)
	if hash == was.hash {
		return was, nil
	}
	if was.name != "" && d.keep != nil {
		old, err := d.read(plumbing.BlobObject, was.hash)
		if err != nil {
			return was, fmt.Errorf("%w: %s: %w", errDamaged, name, err)
		}
		if d.keep(name, old, e.data) {
			return was, nil
		}
	}
	d.add(plumbing.BlobObject, e.data)
	return entry{name: e.path, mode: filemode.Regular, hash: hash}, nil
}

func (d *draft) add(kind plumbing.ObjectType, data []byte) plumbing.Hash {
	o := &plumbing.MemoryObject{}
	o.SetType(kind)
	o.Write(data) // to memory: it returns no error
	d.objects = append(d.objects, o)
	return o.Hash()
}

// message is the commit's: subject, blank line, body, blank line, trailers.
func (c Change) message() string {
	parts := []string{oneLine(c.Subject)}
	if body := strings.TrimSpace(c.Body); body != "" {
		parts = append(parts, body)
	}
	if len(c.Trailers) > 0 {
		lines := make([]string, len(c.Trailers))
		for i, t := range c.Trailers {
			lines[i] = oneLine(t[0]) + ": " + oneLine(t[1])
		}
		parts = append(parts, strings.Join(lines, "\n"))
	}
	return strings.ReplaceAll(strings.Join(parts, "\n\n"), "\x00", "") + "\n"
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// send pushes a draft onto tip: the remote moves the branch if it still stands
// there, and refuses otherwise. The first result is a refusal by the remote's
// rules; the error is also there for one, and for every doubt.
func send(ctx context.Context, s transport.ReceivePackSession, caps *capability.List, branch string, tip plumbing.Hash, d *draft) (*DeclinedError, error) {
	pack, err := d.pack()
	if err != nil {
		return nil, err
	}
	name := plumbing.NewBranchReferenceName(branch)
	output := &firstBytes{limit: 4 << 10}
	request := packp.NewReferenceUpdateRequestFromCapabilities(caps)
	request.Commands = []*packp.Command{{Name: name, Old: tip, New: d.commit}}
	request.Packfile = io.NopCloser(pack)
	request.Progress = output
	if caps.Supports(capability.Sideband64k) { // carries what hooks print
		request.Capabilities.Set(capability.Sideband64k)
	}
	report, err := receive(ctx, s, request)
	if report == nil && err == nil {
		err = errors.New("the remote did not say whether it took the push")
	}
	if report != nil {
		for _, status := range report.CommandStatuses {
			if status.ReferenceName == name && byRule(status.Status) {
				return &DeclinedError{branch, status.Status, strings.TrimSpace(output.buffer.String())}, status.Error()
			}
		}
	}
	return nil, err
}

// errLeft says that a session still waits for the remote, and is closed when it is done.
var errLeft = errors.New("the remote did not end the push")

// receive has a session push, and leaves it alone with that when ctx ends: over a path,
// go-git waits for the last hook's end, whatever the context says.
func receive(ctx context.Context, s transport.ReceivePackSession, request *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	type answer struct {
		report *packp.ReportStatus
		err    error
	}
	answers, left := make(chan answer), make(chan struct{})
	go func() {
		report, err := s.ReceivePack(ctx, request)
		select {
		case answers <- answer{report, err}:
		case <-left:
			s.Close()
		}
	}()
	select {
	case a := <-answers:
		return a.report, a.err
	case <-ctx.Done():
		close(left)
		return nil, fmt.Errorf("%w: %w", errLeft, ctx.Err())
	}
}

// byRule tells a refusal by the remote's rules from one by a race. The words are
// those of git's receive-pack and of the hosts.
func byRule(status string) bool {
	status = strings.ToLower(status)
	return slices.ContainsFunc([]string{"declined", "prohibited", "protected", "denied", "deny", "not allowed", "checked out"},
		func(word string) bool { return strings.Contains(status, word) })
}

// pack holds exactly the draft's objects, whole.
func (d *draft) pack() (*bytes.Buffer, error) {
	store := memory.NewStorage()
	hashes := make([]plumbing.Hash, len(d.objects))
	for i, o := range d.objects {
		hash, err := store.SetEncodedObject(o)
		if err != nil {
			return nil, err
		}
		hashes[i] = hash
	}
	var b bytes.Buffer
	_, err := packfile.NewEncoder(&b, store, false).Encode(hashes, 0)
	return &b, err
}

// firstBytes keeps the first bytes that are written to it.
type firstBytes struct {
	buffer bytes.Buffer
	limit  int
}

func (b *firstBytes) Write(p []byte) (int, error) {
	b.buffer.Write(p[:min(len(p), b.limit-b.buffer.Len())])
	return len(p), nil
}
