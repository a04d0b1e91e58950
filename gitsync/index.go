package gitsync

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// The bounds of what a mirror takes.
const (
	maxObject = DefaultMaxFile // bytes of an object; larger ones are left out
	maxHeld   = 2 * maxObject  // bytes of the objects that deltas are applied to at a time
	maxDeltas = 8 << 20        // bytes of deltas in memory; the others are read again
	packName  = "pack-%s"      // how Git names packs
	tempPack  = "tmp_pack_*"   // while it is written
	tempIndex = "tmp_idx_*"    // likewise
)

// writePack stores a pack in the folder dir, with its index. go-git can do the same,
// but inflates every object twice and the largest as a whole: a blob of a gigabyte,
// which nobody reads, would take a gigabyte of memory. It also knows no thin packs, in
// which there are deltas of what is known already, and without those a remote sends all
// files of a branch again for each new commit.
func writePack(dir string, pack io.Reader, known lookup) (err error) {
	file, err := os.CreateTemp(dir, tempPack)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	index, err := indexPack(pack, file, maxHeld, known)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, fmt.Sprintf(packName, plumbing.Hash(index.PackfileChecksum)))
	if err := writeIndex(dir, name+".idx", index); err != nil {
		return err
	}
	return errors.Join(file.Chmod(0o444), os.Rename(file.Name(), name+".pack"))
}

func writeIndex(dir, name string, index *idxfile.MemoryIndex) error {
	file, err := os.CreateTemp(dir, tempIndex)
	if err != nil {
		return err
	}
	_, err = idxfile.NewEncoder(file).Encode(index)
	if err := errors.Join(err, file.Chmod(0o444), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}

// lookup returns an object that was known before.
type lookup func(plumbing.Hash) (plumbing.ObjectType, []byte, error)

// indexer finds the names of a pack's objects.
type indexer struct {
	arriving *packfile.Scanner // the pack as it comes
	stored   *packfile.Scanner // the same, on the disk
	deltas   int               // bytes in entries
	held     int               // bytes of objects at a time
	writer   idxfile.Writer
	entries  []packed
	byOffset map[int64][]int         // deltas by where their base stands
	byHash   map[plumbing.Hash][]int // deltas by their base's name
}

// packed is a delta in a pack.
type packed struct {
	offset int64
	crc    uint32
	delta  []byte // nil: on the disk only
}

// indexPack reads a pack, writes it to a file and makes its index. Objects of more than maxObject bytes are
// left out, and what is a delta of one, or of more than held bytes of others.
func indexPack(pack io.Reader, file *os.File, held int, known lookup) (*idxfile.MemoryIndex, error) {
	buffered := bufio.NewWriterSize(file, 64<<10)
	pack = io.TeeReader(pack, buffered)
	x := &indexer{held: held, arriving: packfile.NewScanner(pack), byOffset: map[int64][]int{}, byHash: map[plumbing.Hash][]int{}}
	_, count, err := x.arriving.Header()
	if err != nil {
		return nil, err
	}
	var bases []base
	for range count {
		b, err := x.scan()
		if err != nil {
			return nil, fmt.Errorf("object of a pack: %w", err)
		}
		if b.kind != plumbing.InvalidObject {
			bases = append(bases, b)
		}
	}
	checksum, err := x.arriving.Checksum()
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, pack) // to the end of the answer
	if err := errors.Join(err, buffered.Flush()); err != nil {
		return nil, err
	}
	x.stored = packfile.NewScanner(file)
	for _, b := range bases {
		if err := x.resolve(b); err != nil {
			return nil, fmt.Errorf("delta of a pack: %w", err)
		}
	}
	if len(x.byHash) > 0 {
		if checksum, err = x.complete(file, count, checksum, known); err != nil {
			return nil, err
		}
	}
	if err := x.writer.OnFooter(checksum); err != nil {
		return nil, err
	}
	return x.writer.Index()
}

// base is an object that is no delta itself. The zero value is none.
type base struct {
	kind   plumbing.ObjectType
	offset int64
	hash   plumbing.Hash
}

// scan reads the next object. One that stands for itself is added to the index and
// returned; a delta waits for its base.
func (x *indexer) scan() (base, error) {
	header, err := x.arriving.NextObjectHeader()
	if err != nil {
		return base{}, err
	}
	at, delta, large := header.Offset, header.Type.IsDelta(), header.Length > maxObject
	hasher := plumbing.NewHasher(header.Type, header.Length)
	content, kept := io.Writer(hasher), bytes.Buffer{}
	switch {
	case large:
		content = io.Discard
	case delta && x.deltas+int(header.Length) <= maxDeltas:
		content = &kept
		x.deltas += int(header.Length)
	case delta:
		content = io.Discard
	}
	written, crc, err := x.arriving.NextObject(content)
	switch {
	case err != nil:
		return base{}, err
	case written != header.Length:
		return base{}, fmt.Errorf("it has %d bytes, not %d", written, header.Length)
	case large:
		return base{}, nil
	case !delta:
		hash := hasher.Sum()
		x.writer.Add(hash, uint64(at), crc)
		return base{header.Type, at, hash}, nil
	}
	if header.Type == plumbing.OFSDeltaObject {
		x.byOffset[header.OffsetReference] = append(x.byOffset[header.OffsetReference], len(x.entries))
	} else {
		x.byHash[header.Reference] = append(x.byHash[header.Reference], len(x.entries))
	}
	x.entries = append(x.entries, packed{at, crc, kept.Bytes()})
	return base{}, nil
}

// level is an object whose deltas are being applied.
type level struct {
	content []byte
	deltas  []int
}

// resolve adds what is made of a base by deltas, and by deltas of these. What has no
// more deltas is let go, so that a long chain holds two objects at a time.
func (x *indexer) resolve(b base) error {
	deltas := x.deltasOf(b.offset, b.hash)
	if len(deltas) == 0 {
		return nil
	}
	content, err := x.read(b.offset)
	if err != nil {
		return err
	}
	levels, held := []level{{content, deltas}}, len(content)
	for len(levels) > 0 {
		top := &levels[len(levels)-1]
		from, entry := top.content, x.entries[top.deltas[0]]
		if top.deltas = top.deltas[1:]; len(top.deltas) == 0 {
			held -= len(from)
			levels = levels[:len(levels)-1]
		}
		content, err := x.apply(from, entry)
		if err != nil {
			return err
		}
		if content == nil || held+len(content) > x.held {
			continue
		}
		hash := plumbing.ComputeHash(b.kind, content)
		x.writer.Add(hash, uint64(entry.offset), entry.crc)
		if deltas := x.deltasOf(entry.offset, hash); len(deltas) > 0 {
			levels, held = append(levels, level{content, deltas}), held+len(content)
		}
	}
	return nil
}

func (x *indexer) deltasOf(offset int64, hash plumbing.Hash) []int {
	deltas := append(x.byOffset[offset], x.byHash[hash]...)
	delete(x.byHash, hash) // the same object may stand in a pack twice
	return deltas
}

// read returns the content of the object at an offset: of a delta, the delta's.
func (x *indexer) read(offset int64) ([]byte, error) {
	header, err := x.stored.SeekObjectHeader(offset)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(int(min(header.Length, maxObject)))
	_, _, err = x.stored.NextObject(&b)
	return b.Bytes(), err
}

// apply makes an object of its base and a delta; nil where it would be too large.
func (x *indexer) apply(content []byte, entry packed) ([]byte, error) {
	delta := entry.delta
	if delta == nil {
		var err error
		if delta, err = x.read(entry.offset); err != nil {
			return nil, err
		}
	}
	_, n := binary.Uvarint(delta) // of the base
	if n <= 0 {
		return nil, packfile.ErrInvalidDelta
	}
	size, m := binary.Uvarint(delta[n:])
	switch {
	case m <= 0:
		return nil, packfile.ErrInvalidDelta
	case size > maxObject:
		return nil, nil
	case size == 0:
		return []byte{}, nil
	}
	return packfile.PatchDelta(content, delta)
}

// complete makes a thin pack one that stands for itself, as git index-pack --fix-thin
// does: the bases that it lacks are put at its end. Deltas of what is not known, since it
// is too large, stay out of the index. It returns the pack's new checksum.
func (x *indexer) complete(file *os.File, count uint32, checksum plumbing.Hash, known lookup) (plumbing.Hash, error) {
	end, err := file.Seek(-int64(len(checksum)), io.SeekEnd)
	if err != nil {
		return checksum, err
	}
	var bases []base
	for hash := range x.byHash {
		kind, content, err := known(hash)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			continue
		}
		if err != nil {
			return checksum, err
		}
		entry := encodeEntry(kind, content)
		if _, err := file.WriteAt(entry, end); err != nil {
			return checksum, err
		}
		x.writer.Add(hash, uint64(end), crc32.ChecksumIEEE(entry))
		bases = append(bases, base{kind, end, hash})
		end += int64(len(entry))
	}
	if _, err := file.WriteAt(binary.BigEndian.AppendUint32(nil, count+uint32(len(bases))), int64(len("PACK")+4)); err != nil {
		return checksum, err
	}
	sum := sha1.New()
	if _, err := io.Copy(sum, io.NewSectionReader(file, 0, end)); err != nil {
		return checksum, err
	}
	checksum = plumbing.Hash(sum.Sum(nil))
	if _, err := file.WriteAt(checksum[:], end); err != nil {
		return checksum, err
	}
	for _, b := range bases {
		if err := x.resolve(b); err != nil {
			return checksum, fmt.Errorf("delta of what was known: %w", err)
		}
	}
	return checksum, nil
}

// encodeEntry writes an object as it stands in a pack: kind and size, then its content,
// compressed.
func encodeEntry(kind plumbing.ObjectType, content []byte) []byte {
	size := uint64(len(content))
	first := byte(kind)<<4 | byte(size&15)
	var b bytes.Buffer
	if size >>= 4; size > 0 {
		b.WriteByte(first | 0x80)
		b.Write(binary.AppendUvarint(nil, size))
	} else {
		b.WriteByte(first)
	}
	w := zlib.NewWriter(&b)
	w.Write(content) // to memory: neither returns an error
	w.Close()
	return b.Bytes()
}
