package month

import (
	"os/exec"
	"path/filepath"
	"testing"
	"strings"
)

func TestMake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m.git")
	if err := Make(dir, 20000); err != nil { t.Fatal(err) }
	out, _ := exec.Command("sh", "-c", "cd "+dir+"; git rev-list --count "+Branch+"; git ls-tree -r --name-only "+Branch+" | wc -l; du -sh .; time git fsck; cp -r . /tmp/wl/m.git; time git gc -q; du -sb objects").CombinedOutput()
	t.Log(strings.TrimSpace(string(out)))
}
