package kernelspec

import (
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// Dirs returns the folders in which Jupyter looks for kernels, the first one first. They
// need not exist.
func Dirs(e Environment, lookup Lookup) []string {
	return dirsOn(runtime.GOOS, e, lookup)
}

// dirsOn is Dirs for an operating system.
func dirsOn(system string, e Environment, lookup Lookup) []string {
	var dirs []string
	if path := lookup.get("JUPYTER_PATH"); path != "" {
		for _, dir := range strings.Split(path, ":") {
			dirs = append(dirs, strings.TrimRight(dir, "/"))
		}
	}
	shared := systemDirs(system, e, lookup)
	users := []string{dataDir(system, lookup)}
	if e.UserBase != "" {
		if dir := filepath.Join(e.UserBase, "share", "jupyter"); dir != users[0] {
			users = append(users, dir)
		}
	}
	var own []string
	if dir := filepath.Join(e.Prefix, "share", "jupyter"); e.Prefix != "" && !slices.Contains(shared, dir) {
		own = []string{dir}
	}
	if e.first(lookup) {
		dirs = append(append(dirs, own...), users...)
	} else {
		dirs = append(append(dirs, users...), own...)
	}
	for _, dir := range shared {
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	if e.module("IPython") != "" {
		dirs = append(dirs, ipythonDir(lookup))
	}
	for i, dir := range dirs {
		dirs[i] = filepath.Join(dir, "kernels")
	}
	return dirs
}

// first reports whether the environment's own kernels come before the user's.
func (e Environment) first(lookup Lookup) bool {
	if _, set := lookup("JUPYTER_PREFER_ENV_PATH"); set {
		return enabled(lookup, "JUPYTER_PREFER_ENV_PATH")
	}
	if e.Virtual && owned(e.Prefix) {
		return true
	}
	conda, set := lookup("CONDA_PREFIX")
	name := lookup.get("CONDA_DEFAULT_ENV")
	return set && e.Prefix != "" && strings.HasPrefix(e.Prefix, conda) && name != "" && name != "base" && owned(e.Prefix)
}

// enabled reports whether a variable is set to anything that does not mean no.
func enabled(lookup Lookup, name string) bool {
	value, set := lookup(name)
	return set && !slices.Contains([]string{"no", "n", "false", "off", "0", "0.0"}, strings.ToLower(value))
}

// owned reports whether a folder is ours. Jupyter takes those of the user who logged in
// for ours as well.
func owned(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// dataDir returns the folder of Jupyter's data of the user.
func dataDir(system string, lookup Lookup) string {
	if dir := lookup.get("JUPYTER_DATA_DIR"); dir != "" {
		return dir
	}
	home, name := realHome(lookup), "jupyter"
	if system == "darwin" {
		if !enabled(lookup, "JUPYTER_PLATFORM_DIRS") {
			return filepath.Join(home, "Library", "Jupyter")
		}
		name = "Jupyter"
	}
	if dir := lookup.get("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, name)
	}
	if system == "darwin" {
		return filepath.Join(home, "Library", "Application Support", name)
	}
	return filepath.Join(home, ".local", "share", name)
}

// systemDirs returns the folders of Jupyter's data of all users.
func systemDirs(system string, e Environment, lookup Lookup) []string {
	dirs := []string{"/usr/local/share/jupyter", "/usr/share/jupyter"}
	if !enabled(lookup, "JUPYTER_PLATFORM_DIRS") {
		return dirs
	}
	name := "jupyter"
	if system == "darwin" {
		name = "Jupyter"
		dirs = []string{"/Library/Application Support/Jupyter"}
		if strings.HasPrefix(e.Prefix, "/opt/homebrew") {
			dirs = append([]string{"/opt/homebrew/share/Jupyter"}, dirs...)
		}
	}
	if path := lookup.get("XDG_DATA_DIRS"); path != "" {
		dirs = nil
		for _, dir := range strings.Split(path, ":") {
			if filepath.IsAbs(dir) {
				dirs = append(dirs, filepath.Join(dir, name))
			}
		}
	}
	return dirs
}

// ipythonDir returns the folder of IPython, in which the first kernels were.
func ipythonDir(lookup Lookup) string {
	for _, name := range []string{"IPYTHONDIR", "IPYTHON_DIR"} {
		if dir, set := lookup(name); set {
			return expandHome(dir, home(lookup))
		}
	}
	dir := filepath.Join(realHome(lookup), ".ipython")
	config := lookup.get("XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(realHome(lookup), ".config")
	}
	old := filepath.Join(config, "ipython")
	if info, err := os.Lstat(old); err == nil && info.IsDir() { // not a link
		if _, err := os.Stat(dir); err != nil {
			return old
		}
	}
	return dir
}

// home returns the user's home folder.
func home(lookup Lookup) string {
	if dir, set := lookup("HOME"); set {
		return dir
	}
	if u, err := user.Current(); err == nil {
		return u.HomeDir
	}
	return "/"
}

// realHome returns the user's home folder without links.
func realHome(lookup Lookup) string {
	dir := home(lookup)
	if path, err := filepath.EvalSymlinks(dir); err == nil {
		return path
	}
	return dir
}

// expandHome replaces a ~ that stands for the user's home folder.
func expandHome(path, home string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		return strings.TrimRight(home, "/") + path[1:]
	}
	return path
}
