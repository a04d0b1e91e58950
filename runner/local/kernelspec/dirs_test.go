package kernelspec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What Linux has is compared with Jupyter itself; this is read in jupyter_core.
func TestDirs_OfMacOS(t *testing.T) {
	e := Environment{Python: "/opt/homebrew/bin/python3", Prefix: "/opt/homebrew/opt/python", UserBase: "/nobody/Library/Python/3.11"}
	for name, test := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"by default": {nil, []string{
			"/nobody/Library/Jupyter/kernels", "/nobody/Library/Python/3.11/share/jupyter/kernels", "/opt/homebrew/opt/python/share/jupyter/kernels",
			"/usr/local/share/jupyter/kernels", "/usr/share/jupyter/kernels",
		}},
		"folders of the platform": {map[string]string{"JUPYTER_PLATFORM_DIRS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}, []string{
			"/opt/homebrew/opt/python/share/jupyter/kernels", "/nobody/Library/Application Support/Jupyter/kernels", "/nobody/Library/Python/3.11/share/jupyter/kernels",
			"/opt/homebrew/share/Jupyter/kernels", "/Library/Application Support/Jupyter/kernels",
		}},
	} {
		lookup := func(name string) (string, bool) {
			if name == "HOME" {
				return "/nobody", true
			}
			value, set := test.env[name]
			return value, set
		}
		if diff := cmp.Diff(test.want, dirsOn("darwin", e, lookup)); diff != "" {
			t.Errorf("%s: want, got:\n%s", name, diff)
		}
	}
}
