package main

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestAssetOf_ReadsWhatRunPathWrites(t *testing.T) {
	for _, c := range []struct {
		path, asset string
		generation  int
	}{
		{"r/2026-11-23T0600+0100/plant.yaml", "plant", 1},
		{"r/2026-11-23T0600+0100/plant.g2.yaml", "plant", 2},
		{"r/2026-11-23T0600+0100/plant.green.yaml", "plant.green", 1},
		{"r/2026-11-23T0600+0100/plant.green.g12.yaml", "plant.green", 12},
		{"r/2026-11-23T0600+0100/plant.g.yaml", "plant.g", 1},
		{"r/2026-11-23T0600+0100/plant.g2x.yaml", "plant.g2x", 1},
		{"r/2026-11-23T0600+0100/plant.g-2.yaml", "plant.g-2", 1},
	} {
		if asset, generation := assetOf(c.path); asset != c.asset || generation != c.generation {
			t.Errorf("assetOf(%s) = %q, %d, want %q, %d", c.path, asset, generation, c.asset, c.generation)
		}
	}
}

func TestManifestsOf_AreInOrder(t *testing.T) {
	want := []string{
		"r/2026-10-25T0230+0100/b.yaml", // an hour after the next
		"r/2026-10-25T0230+0200/b.yaml",
		"q/2026-10-24T0600+0200/a.yaml",
		"r/2026-10-24T0600+0200/a.g10.yaml",
		"r/2026-10-24T0600+0200/a.g2.yaml",
		"r/2026-10-24T0600+0200/a.yaml",
		"r/2026-10-24T0600+0200/a.green.yaml",
	}
	tree := fstest.MapFS{"README.md": {}, "r/broken-0123456789ab.yaml": {}, "r/2026-10-24T0600+0200/slot.yaml": {}}
	for _, path := range want {
		tree[path] = &fstest.MapFile{}
	}
	got, err := manifestsOf(tree)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("manifestsOf() (-want +got):\n%s", diff)
	}
}
