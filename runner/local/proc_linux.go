package local

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// shownOfProc is what a program sees of /proc beside its own processes and links to
// them: what interpreters, allocators and monitors ask about the machine. Of sys, too,
// which nobody can write to.
//
// It names what is shown, so that what a newer kernel adds is masked. All that
// containers mask or make read-only by default is covered: maskedPaths and
// readonlyPaths of runc's libcontainer/specconv/example.go, and those of Docker's
// oci/defaults.go; what they make read-only is masked here, but for sys.
var shownOfProc = [...]string{"cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys", "uptime", "version", "vmstat"}

// maskProc makes /proc/sys read-only and covers what is not shown: files by /dev/null,
// folders by an empty one. It is no best effort: who may mount /proc may do this, so a
// refusal is a reason not to trust the sandbox.
func maskProc(proc, emptyFolder string) error {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		cover := bind{From: "/dev/null", Writable: true}
		target := filepath.Join(proc, entry.Name())
		switch {
		case entry.Name() == "sys":
			cover = bind{From: target}
		case slices.Contains(shownOfProc[:], entry.Name()), ofProcesses(entry):
			continue
		case entry.IsDir():
			cover = bind{From: emptyFolder}
		}
		if err := cover.over(target); err != nil {
			return &fs.PathError{Op: "cover", Path: entry.Name(), Err: err}
		}
	}
	return nil
}

// ofProcesses reports whether an entry of /proc is a process, or a link to one's.
func ofProcesses(entry fs.DirEntry) bool {
	first := entry.Name()[0]
	return entry.Type() == fs.ModeSymlink || first >= '0' && first <= '9'
}
