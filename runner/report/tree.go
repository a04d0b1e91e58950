package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"nbpress/internal/strict"
)

// The limits of a bundle, and of each include folder.
const (
	MaxFileSize   = 20 << 20 // bytes of one file
	MaxBundleSize = 50 << 20 // bytes of all files
	MaxFiles      = 200
	MaxDepth      = 8 // folders inside each other
	MaxReports    = 10_000
)

// maxFolders bounds Find's walk through a tree that is no repository of reports.
const maxFolders = 100_000

// safeName is what may stand in a path of the store and of the ledger: the parts
// of a report's name and the ids of assets.
var safeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// CheckName says what is wrong with a report's name, its folder's path in the repository;
// "" for nothing.
func CheckName(name string) string { return checkFolderName(name) }

const safeNameWords = "letters, digits and . _ -, at most 63, first a letter or digit"

// Find returns the paths of the folders of fsys that hold a config.json, sorted;
// "." is the root. It does not look below folders whose name starts with a dot,
// nor into node_modules. Reports may stand inside each other.
func Find(fsys fs.FS) ([]string, error) {
	var found []string
	folders := []string{"."}
	for n := 0; n < len(folders); n++ {
		if n == maxFolders {
			return nil, fmt.Errorf("find reports: more than %d folders", maxFolders)
		}
		entries, err := fs.ReadDir(fsys, folders[n])
		if err != nil {
			return nil, fmt.Errorf("find reports: %w", err)
		}
		for _, entry := range entries {
			switch name := entry.Name(); {
			case entry.IsDir() && !strings.HasPrefix(name, ".") && name != "node_modules":
				folders = append(folders, path.Join(folders[n], name))
			case name == ConfigFile && !entry.IsDir():
				if found = append(found, folders[n]); len(found) > MaxReports {
					return nil, fmt.Errorf("find reports: more than %d reports", MaxReports)
				}
			}
		}
	}
	return sortedUnique(found), nil
}

// tree reads the files of one folder.
type tree struct {
	fsys     fs.FS
	root     string
	files    map[string][]byte
	folded   map[string]string // lower-cased path: path
	size     int64
	full     bool // a limit was reached and reported
	problems []strict.Problem
}

// readTree returns the folder's regular files by their paths in it, without what
// is hidden, made by Python or Jupyter, or part of a report further down.
func readTree(fsys fs.FS, root string) (map[string][]byte, []strict.Problem) {
	t := &tree{fsys: fsys, root: root, files: map[string][]byte{}, folded: map[string]string{}}
	t.folder(".", 1)
	return t.files, t.problems
}

func (t *tree) problem(name, what, do string) {
	t.problems = append(t.problems, whole(path.Join(t.root, name)).Problem(what, do))
}

// whole is the position of a problem that concerns a whole file.
func whole(file string) strict.Position { return strict.Position{File: file, Line: 1, Column: 1} }

func (t *tree) folder(dir string, depth int) {
	entries, err := fs.ReadDir(t.fsys, path.Join(t.root, dir))
	if err != nil {
		t.problem(dir, plainError(err), "")
		return
	}
	if dir != "." && hasConfig(entries) {
		return // another report
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		if t.full || leftOut(name) && entry.Type()&fs.ModeIrregular == 0 {
			continue
		}
		if !usableName(entry.Name()) {
			t.problem(name, fmt.Sprintf("the name %q cannot be used everywhere", entry.Name()), "rename it")
			continue
		}
		if first, ok := t.folded[strings.ToLower(name)]; ok {
			t.problem(name, fmt.Sprintf("%q and %q differ only in case", name, first), "rename one")
			continue
		}
		t.folded[strings.ToLower(name)] = name
		switch {
		case entry.IsDir() && depth >= MaxDepth:
			t.problem(name, fmt.Sprintf("more than %d folders inside each other", MaxDepth), "move it up")
		case entry.IsDir():
			t.folder(name, depth+1)
		default:
			t.file(name, entry)
		}
	}
}

func (t *tree) file(name string, entry fs.DirEntry) {
	switch {
	case entry.Type()&fs.ModeSymlink != 0:
		t.problem(name, "a symbolic link", "put the file itself here")
		return
	case entry.Type()&fs.ModeIrregular != 0:
		t.problem(name, irregular(entry), "remove it")
		return
	case !entry.Type().IsRegular():
		t.problem(name, "not a regular file", "remove it")
		return
	case len(t.files) == MaxFiles:
		t.full = true
		t.problem(".", fmt.Sprintf("the folder has more than %d files", MaxFiles), "move out what the report does not need")
		return
	}
	data, err := readLimited(t.fsys, path.Join(t.root, name))
	switch {
	case err != nil:
		t.problem(name, plainError(err), "")
		return
	case len(data) > MaxFileSize:
		t.problem(name, fmt.Sprintf("the file has more than %d MB", MaxFileSize>>20), "let the notebook fetch large data, or aggregate it")
		return
	case bytes.HasPrefix(data, []byte("version https://git-lfs.github.com/spec/v1\n")):
		t.problem(name, "a Git LFS pointer, not the file", "commit the file itself: nbpress does not fetch from LFS")
		return
	}
	t.size += int64(len(data))
	if t.size > MaxBundleSize {
		t.full = true
		t.problem(name, fmt.Sprintf("with this file the folder has more than %d MB", MaxBundleSize>>20), "let the notebook fetch large data, or aggregate it")
		return
	}
	t.files[name] = data
}

// irregular says what an entry is that is neither file, folder, link, pipe nor device. A
// repository's tree knows why it shows one so.
func irregular(entry fs.DirEntry) string {
	if e, ok := entry.(interface{ Refused() string }); ok && e.Refused() != "" {
		return "not a regular file: " + e.Refused()
	}
	return "not a regular file"
}

// readLimited reads a file, or of a file that is too large a byte more than MaxFileSize.
func readLimited(fsys fs.FS, name string) (data []byte, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var b bytes.Buffer
	if info, err := f.Stat(); err == nil { // only a hint: the reader below is what limits
		b.Grow(int(max(0, min(info.Size(), MaxFileSize))) + bytes.MinRead)
	}
	_, err = b.ReadFrom(io.LimitReader(f, MaxFileSize+1))
	return b.Bytes(), err
}

// linked reports whether a file, or a folder between root and it, is a symbolic link.
func linked(fsys fs.FS, root, file string) bool {
	for ; file != "."; file = path.Dir(file) {
		if info, err := fs.Lstat(fsys, path.Join(root, file)); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return true
		}
	}
	return false
}

// leftOut says what lies in a folder and is not part of the bundle.
func leftOut(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, ".") || base == "__pycache__" || base == "nbpress-out" || name == "output.json" || name == "output.html"
}

func hasConfig(entries []fs.DirEntry) bool {
	for _, entry := range entries {
		if entry.Name() == ConfigFile && !entry.IsDir() {
			return true
		}
	}
	return false
}

// usableName refuses names that some system or tool on the way reads otherwise.
func usableName(name string) bool {
	return len(name) <= 255 && utf8.ValidString(name) && !strings.ContainsAny(name, `\:`) &&
		strings.IndexFunc(name, unicode.IsControl) < 0
}

// plainError drops the operation and the path, which the problem's place says.
func plainError(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "no such file or folder"
	}
	return err.Error()
}
