package gitsync

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// parseTree reads a Git tree: for each entry its mode in octal digits, a blank,
// its name, a NUL and 20 bytes of hash. go-git's own parser refuses a whole tree
// for one bad name; here a name may be anything, and the reader judges it.
func parseTree(data []byte) ([]entry, error) {
	var entries []entry
	for len(data) > 0 {
		mode, rest, ok := bytes.Cut(data, []byte{' '})
		if !ok {
			return nil, errors.New("malformed tree: no mode")
		}
		bits, err := strconv.ParseUint(string(mode), 8, 32)
		if err != nil {
			return nil, fmt.Errorf("malformed tree: mode %q", mode)
		}
		name, rest, ok := bytes.Cut(rest, []byte{0})
		if !ok || len(rest) < len(plumbing.ZeroHash) {
			return nil, errors.New("malformed tree: it ends within an entry")
		}
		e := entry{name: string(name), mode: filemode.FileMode(bits)}
		data = rest[copy(e.hash[:], rest):]
		entries = append(entries, e)
	}
	return entries, nil
}

// encodeTree is parseTree's reverse. The order is Git's: a folder's name sorts as
// if it ended in a slash.
func encodeTree(entries []entry) []byte {
	sorted := slices.Clone(entries)
	slices.SortStableFunc(sorted, func(a, b entry) int { return strings.Compare(a.sortName(), b.sortName()) })
	var b bytes.Buffer
	for _, e := range sorted {
		fmt.Fprintf(&b, "%o %s\x00", uint32(e.mode), e.name)
		b.Write(e.hash[:])
	}
	return b.Bytes()
}

func (e entry) isFolder() bool { return e.mode&0o170000 == 0o040000 }

func (e entry) sortName() string {
	if e.isFolder() {
		return e.name + "/"
	}
	return e.name
}

// unsafeName says what is wrong with a name that could lead out of a folder, hide
// a repository in it, or forge a line of a log; "" for an ordinary one.
func unsafeName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case name == "." || name == "..":
		return "leads out of its folder"
	case strings.ContainsAny(name, `/\`):
		return "holds a path separator"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case strings.ContainsFunc(name, isControl):
		return "holds a control character"
	case isGitFolder(name):
		return "is Git's own"
	}
	return ""
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// isGitFolder knows the spellings of .git that some file system takes for it.
func isGitFolder(name string) bool {
	name = strings.TrimRight(strings.Map(dropIgnorable, name), " .")
	return strings.EqualFold(name, ".git") || strings.EqualFold(name, "git~1")
}

// dropIgnorable drops the characters that HFS+ ignores in names.
func dropIgnorable(r rune) rune {
	switch {
	case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
		return -1
	}
	return r
}

// shown is an unsafe name as it stands in listings: one valid element of a path
// that is nobody's real name.
func shown(name string) string {
	if name == "" || name == "." || name == ".." {
		return "%" + strings.Repeat("2E", len(name))
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; c < 0x20 || c >= 0x7f || strings.IndexByte(`/\%`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
