package store

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A folder's entry stands in the folder above it: an object is durable when every new
// folder on its way is.
func TestDir_SyncsEveryFolderThatItMakes(t *testing.T) {
	root := t.TempDir()
	d, err := OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var synced []string
	d.sync = func(folder string) error {
		rel, err := filepath.Rel(root, folder)
		synced = append(synced, rel)
		return err
	}
	for _, step := range []struct {
		key  string
		want []string
	}{
		{"runs/a/g1/claim-1", []string{".", "runs", "runs/a", "runs/a/g1"}},
		{"runs/a/g1/manifest.yaml", []string{"runs/a/g1"}},
		{"runs/b/x", []string{"runs", "runs/b"}},
	} {
		synced = nil
		if err := d.Create(t.Context(), step.key, nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, synced); diff != "" {
			t.Errorf("%s: synced (-want +got):\n%s", step.key, diff)
		}
	}
}
