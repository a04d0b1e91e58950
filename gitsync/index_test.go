package gitsync

import (
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
)

// somePack makes a pack of a history in which objects are deltas of each other.
func somePack(t testing.TB, commits int, args ...string) []byte {
	t.Helper()
	bare := newBare(t)
	var stream bytes.Buffer
	text := strings.Repeat("a line that stays\n", 5*commits)
	for n := range commits {
		content := fmt.Sprintf("%s%d\n%s%s", text, n, text, strings.Repeat("x", n*n))
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter A <a@b> %d +0000\ndata 2\nx\n", 1e9+n)
		for file := range 3 {
			fmt.Fprintf(&stream, "M 100644 inline d%d/f\ndata %d\n%s\n", n%7+file, len(content), content)
		}
	}
	stream.WriteString("blob\ndata 0\n\n")
	execGitInput(t, bare, stream.Bytes(), "fast-import", "--quiet")
	objects := execGit(t, bare, "rev-list", "--objects", "--all")
	made := filepath.Join(t.TempDir(), "made")
	hash := execGitInput(t, bare, []byte(objects), append(append([]string{"pack-objects", "--no-reuse-delta", "-q"}, args...), made)...)
	return must(os.ReadFile(made + "-" + hash + ".pack"))
}

// unknown is a lookup where nothing was there before.
func unknown(plumbing.Hash) (plumbing.ObjectType, []byte, error) {
	return plumbing.InvalidObject, nil, plumbing.ErrObjectNotFound
}

func TestIndexPack_AgreesWithGit(t *testing.T) {
	for name, args := range map[string][]string{
		"deltas by offset": {"--delta-base-offset", "--window=30", "--depth=30"},
		"deltas by name":   {"--window=30", "--depth=30"},
		"no deltas":        {"--window=0"},
	} {
		t.Run(name, func(t *testing.T) {
			pack := somePack(t, 40, args...)
			dir, gits := t.TempDir(), filepath.Join(t.TempDir(), "git.pack")
			if err := writePack(dir, bytes.NewReader(pack), unknown); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(gits, pack, 0o600); err != nil {
				t.Fatal(err)
			}
			hash := execGit(t, ".", "index-pack", gits)
			want := must(os.ReadFile(strings.TrimSuffix(gits, ".pack") + ".idx"))
			got, err := os.ReadFile(filepath.Join(dir, "pack-"+hash+".idx"))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("the index differs from git's, %v", err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "pack-"+hash+".pack")); err != nil || !bytes.Equal(got, pack) {
				t.Errorf("the pack differs from what came, %v", err)
			}
			if left := must(os.ReadDir(dir)); len(left) != 2 {
				t.Errorf("%d files in the folder, want 2", len(left))
			}
		})
	}
}

func TestRepository_TakesOnlyWhatIsNew(t *testing.T) {
	for _, transport := range []string{"path", "http"} {
		t.Run(transport, func(t *testing.T) {
			bare, files := newBare(t), map[string]string{}
			for n := range 100 {
				files[fmt.Sprintf("d%d/f", n)] = fmt.Sprint(n, strings.Repeat("x", 1000+n))
			}
			push(t, bare, "main", "First", files)
			address := bare
			if transport == "http" {
				address = serveGit(t, bare, nil)
			}
			r := openRepository(t, Options{URL: address})
			first, _ := fetch(t, r)
			for n := range 3 {
				changed := files["d7/f"] + fmt.Sprint("changed ", n)
				push(t, bare, "main", "Next", map[string]string{"d7/f": changed})
				next, _ := fetch(t, r)
				if got := readFile(t, r, next, "d7/f"); got != changed {
					t.Errorf("the changed file holds %d bytes, want %d", len(got), len(changed))
				}
				if got := readFile(t, r, next, "d8/f"); got != files["d8/f"] {
					t.Errorf("a file that stayed holds %d bytes", len(got))
				}
			}
			if got := readFile(t, r, first, "d7/f"); got != files["d7/f"] {
				t.Errorf("the first commit's file holds %d bytes", len(got))
			}
			packs, _ := filepath.Glob(filepath.Join(r.mirror.objects().packs(), "*.idx"))
			var objects []int
			for _, pack := range packs {
				list := execGitInput(t, ".", must(os.ReadFile(pack)), "show-index")
				objects = append(objects, strings.Count(list, "\n")+1)
				gits := filepath.Join(t.TempDir(), "idx")
				execGit(t, ".", "index-pack", "-o", gits, strings.TrimSuffix(pack, "idx")+"pack")
				if !bytes.Equal(must(os.ReadFile(gits)), must(os.ReadFile(pack))) {
					t.Errorf("the index of %s differs from git's", pack)
				}
			}
			slices.Sort(objects)
			if len(objects) != 4 || objects[2] > 8 || objects[3] < 200 {
				t.Errorf("packs of %v objects, want one of all and three of what changed", objects)
			}
		})
	}
}

func TestIndexPack_RefusesWhatIsDamaged(t *testing.T) {
	pack := somePack(t, 40, "--delta-base-offset")
	flipped := bytes.Clone(pack)
	flipped[len(flipped)/2] ^= 0x40
	for name, data := range map[string][]byte{
		"nothing": {}, "no pack": []byte("HTTP/1.1 200 OK\n\nHello, I am a page"), "cut": pack[:len(pack)/2], "one byte short": pack[:len(pack)-1], "one bit": flipped,
	} {
		dir := t.TempDir()
		if err := writePack(dir, bytes.NewReader(data), unknown); err == nil {
			t.Errorf("%s: taken as a pack", name)
		}
		if packs, _ := filepath.Glob(filepath.Join(dir, "pack-*")); len(packs) > 0 {
			t.Errorf("%s: it left %v", name, packs)
		}
	}
}

// rewind empties a file.
func rewind(file *os.File) error {
	_, err := file.Seek(0, io.SeekStart)
	return errors.Join(file.Truncate(0), err)
}

func FuzzIndexPack(f *testing.F) {
	f.Add(somePack(f, 3, "--delta-base-offset"))
	f.Add(somePack(f, 3))
	f.Add([]byte("PACK\x00\x00\x00\x02\xff\xff\xff\xff"))
	file := must(os.CreateTemp(f.TempDir(), ""))
	defer file.Close()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := rewind(file); err != nil {
			t.Fatal(err)
		}
		index, err := indexPack(bytes.NewReader(data), file, maxHeld, unknown)
		if err == nil && must(index.Count()) > int64(len(data)) {
			t.Error("more objects than bytes")
		}
	})
}

// zeros puts a blob of so many zeros into a repository, by hand: git would need as long
// as a gigabyte takes. It returns the blob's name.
func zeros(t testing.TB, bare string, size int64) string {
	t.Helper()
	var block bytes.Buffer // of zeros, which stands for itself wherever it is put
	w := must(flate.NewWriter(&block, flate.BestSpeed))
	w.Write(make([]byte, 1<<20))
	w.Flush()
	hash := sha1.New()
	fmt.Fprintf(hash, "blob %d\x00", size)
	entry := []byte{byte(plumbing.BlobObject)<<4 | byte(size&15) | 0x80}
	entry = append(binary.AppendUvarint(entry, uint64(size)>>4), 0x78, 0x01)
	for range size >> 20 {
		hash.Write(make([]byte, 1<<20))
		entry = append(entry, block.Bytes()...)
	}
	entry = append(entry, 0x03, 0x00) // an empty last block
	entry = binary.BigEndian.AppendUint32(entry, uint32(size%65521)<<16|1)
	name := plumbing.Hash(hash.Sum(nil))

	pack := append([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x01"), entry...)
	sum := sha1.Sum(pack)
	var index idxfile.Writer
	index.Add(name, 12, crc32.ChecksumIEEE(entry))
	if err := index.OnFooter(sum); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(bare, "objects", "pack", "pack-"+hex.EncodeToString(sum[:]))
	if err := os.WriteFile(file+".pack", append(pack, sum[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeIndex(filepath.Dir(file), file+".idx", must(index.Index())); err != nil {
		t.Fatal(err)
	}
	return name.String()
}

func TestRepository_TakesNoGigabyteThatNobodyReads(t *testing.T) {
	for name, filter := range map[string]string{"the remote leaves it out": "true", "the remote sends all": "false"} {
		t.Run(name, func(t *testing.T) {
			bare := newBare(t)
			execGit(t, bare, "config", "uploadpack.allowFilter", filter)
			push(t, bare, "main", "First", map[string]string{"good/config.json": "{}"})
			entry := fmt.Sprintf("100644 blob %s\tdata.csv\n", zeros(t, bare, 80<<20))
			bad := execGitInput(t, bare, []byte(entry), "mktree")
			tree := execGit(t, bare, "ls-tree", "main") + fmt.Sprintf("\n040000 tree %s\tbad\n", bad)
			commit := execGit(t, bare, "commit-tree", "-p", "main", "-m", "A large file", execGitInput(t, bare, []byte(tree), "mktree"))
			execGit(t, bare, "update-ref", "refs/heads/main", commit)

			r := openRepository(t, Options{URL: bare})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			head, _ := fetch(t, r)
			runtime.ReadMemStats(&after)
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 32<<20 {
				t.Errorf("%d bytes of memory were taken", allocated)
			}
			files := must(r.Tree(head))
			if _, err := fs.ReadFile(files, "bad/data.csv"); !errors.Is(err, ErrTooLarge) {
				t.Errorf("the large file: %v, want %v", err, ErrTooLarge)
			}
			if got := readFile(t, r, head, "good/config.json"); got != "{}" {
				t.Errorf("the good one holds %q", got)
			}
			push(t, bare, "main", "Next", map[string]string{"good/config.json": "[]"})
			next, _ := fetch(t, r)
			if got := readFile(t, r, next, "good/config.json"); got != "[]" {
				t.Errorf("after another commit the good one holds %q", got)
			}
		})
	}
}

func TestIndexPack_ALongChainOfLargeObjectsIsNotHeldAtOnce(t *testing.T) {
	bare := newBare(t)
	const objects, size = 30, 1 << 18
	noise := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(noise)
	var stream bytes.Buffer
	for n := range objects {
		noise[n]++
		fmt.Fprintf(&stream, "blob\ndata %d\n%s\n", size, noise)
	}
	execGitInput(t, bare, stream.Bytes(), "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet", "--depth=50")
	packs, _ := filepath.Glob(filepath.Join(bare, "objects", "pack", "*.pack"))
	pack := must(os.ReadFile(packs[0]))
	if len(pack) > 2*size {
		t.Fatalf("a pack of %d bytes holds no deltas", len(pack))
	}
	file := must(os.CreateTemp(t.TempDir(), ""))
	defer file.Close()
	index, err := indexPack(bytes.NewReader(pack), file, 3*size, unknown)
	if err != nil {
		t.Fatal(err)
	}
	if n := must(index.Count()); n != objects {
		t.Errorf("%d objects in the index, want all %d", n, objects)
	}
}
