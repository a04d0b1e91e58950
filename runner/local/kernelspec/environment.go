package kernelspec

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Lookup is os.LookupEnv, or something like it.
type Lookup func(name string) (value string, set bool)

func (l Lookup) get(name string) string {
	value, _ := l(name)
	return value
}

// Environment is the Python environment that stands for the one Jupyter is installed in:
// the kernels in its folder are found, and "python" in a kernel's command is its
// interpreter. The zero value is a machine without Python.
type Environment struct {
	Python   string   // its interpreter, as it was called: sys.executable
	Version  string   // such as 3.11
	Prefix   string   // its folder: sys.prefix
	Virtual  bool     // it is a virtual environment
	UserBase string   // the folder of what its user installed; "" where it does not look there
	Path     []string // the folders of its installed modules
}

// ErrUntold is wrapped by what EnvironmentOf returns where the files do not tell, and the
// interpreter would have to be asked: a shim, a framework of macOS, another make.
var ErrUntold = errors.New("its files do not tell what environment it belongs to")

var pythonName = regexp.MustCompile(`^python(?:3(?:\.(\d+))?)?$`)

// EnvironmentOf tells the environment of an interpreter from its path, without running it.
func EnvironmentOf(python string, lookup Lookup) (Environment, error) {
	python, err := filepath.Abs(python)
	if err != nil {
		return Environment{}, err
	}
	if lookup.get("PYTHONHOME") != "" {
		return Environment{}, fmt.Errorf("%s: %w: $PYTHONHOME is set", python, ErrUntold)
	}
	e := Environment{Python: python, Prefix: filepath.Dir(filepath.Dir(python))}
	config := readVenv(filepath.Join(filepath.Dir(python), "pyvenv.cfg"))
	if config == nil {
		config = readVenv(filepath.Join(e.Prefix, "pyvenv.cfg"))
	}
	if config == nil {
		return baseEnvironment(python, lookup)
	}
	e.Virtual, e.Version = true, venvVersion(config)
	if e.Version == "" {
		return Environment{}, fmt.Errorf("%s: %w: its pyvenv.cfg names no version", python, ErrUntold)
	}
	e.Path = e.modules()
	if strings.EqualFold(config["include-system-site-packages"], "true") {
		base := Environment{Prefix: filepath.Dir(config["home"]), Version: e.Version, UserBase: userBase(lookup)}
		e.UserBase, e.Path = base.UserBase, append(e.Path, base.modules()...)
	}
	e.Path = append(pythonPath(lookup), e.Path...)
	return e, nil
}

// readVenv reads a pyvenv.cfg; nil where there is none.
func readVenv(path string) map[string]string {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	config := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			config[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
		}
	}
	return config
}

// venvVersion returns the version as venv, virtualenv or uv wrote it.
func venvVersion(config map[string]string) string {
	for _, key := range []string{"version", "version_info"} {
		if parts := strings.SplitN(config[key], ".", 3); len(parts) > 1 {
			return parts[0] + "." + parts[1]
		}
	}
	return ""
}

// baseEnvironment tells the environment of an interpreter that is in no virtual one: where
// the standard library stands beside the folder that the program really lies in.
func baseEnvironment(python string, lookup Lookup) (Environment, error) {
	program, err := filepath.EvalSymlinks(python)
	if err != nil {
		return Environment{}, err
	}
	name := pythonName.FindStringSubmatch(filepath.Base(program))
	if name == nil || strings.Contains(program, ".framework/") {
		return Environment{}, fmt.Errorf("%s: %w", python, ErrUntold)
	}
	minor := name[1]
	if minor == "" {
		minor = "*"
	}
	e := Environment{Python: python, Prefix: filepath.Dir(filepath.Dir(program)), UserBase: userBase(lookup)}
	versions := map[string]bool{}
	for _, lib := range []string{"lib", "lib64"} {
		found, err := filepath.Glob(filepath.Join(e.Prefix, lib, "python3."+minor, "os.py"))
		if err != nil { // a folder with [ in its name
			return Environment{}, fmt.Errorf("%s: %w", python, ErrUntold)
		}
		for _, path := range found {
			e.Version = strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "python")
			versions[e.Version] = true
		}
	}
	if len(versions) != 1 {
		return Environment{}, fmt.Errorf("%s: %w", python, ErrUntold)
	}
	e.Path = append(pythonPath(lookup), e.modules()...)
	return e, nil
}

func pythonPath(lookup Lookup) []string {
	return filepath.SplitList(lookup.get("PYTHONPATH"))
}

// userBase returns the folder of what the user installed for themselves.
func userBase(lookup Lookup) string {
	if lookup.get("PYTHONNOUSERSITE") != "" {
		return ""
	}
	if base := lookup.get("PYTHONUSERBASE"); base != "" {
		return base
	}
	return filepath.Join(home(lookup), ".local")
}

// modules returns the folders of the environment's installed modules, those of Debian's
// interpreter among them.
func (e Environment) modules() []string {
	var dirs []string
	if e.UserBase != "" {
		dirs = append(dirs, filepath.Join(e.UserBase, "lib", "python"+e.Version, "site-packages"))
	}
	for _, below := range []string{
		"lib/python" + e.Version + "/site-packages", "lib64/python" + e.Version + "/site-packages",
		"local/lib/python" + e.Version + "/dist-packages", "lib/python3/dist-packages",
	} {
		dirs = append(dirs, filepath.Join(e.Prefix, below))
	}
	return dirs
}

// module returns the folder of an installed package, or "".
func (e Environment) module(name string) string {
	for _, dir := range e.Path {
		if info, err := os.Stat(filepath.Join(dir, name, "__init__.py")); err == nil && info.Mode().IsRegular() {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// interprets reports whether Jupyter starts the environment's interpreter where a
// kernel's command begins with name.
func (e Environment) interprets(name string) bool {
	return e.Python != "" && slices.Contains([]string{"python", "python3", "python" + e.Version}, name)
}
