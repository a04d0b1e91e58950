package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"nbpress/runner/internal/csp"
	"nbpress/runner/report"
)

// publish puts everything that an attempt left into the store, below keys that are
// never written again, and returns what it put where. Nothing of it counts before
// the manifest that names it.
func (r *Runner) publish(ctx context.Context, t *task, attempt int, o Outcome) ([]Artifact, error) {
	var artifacts []Artifact
	put := func(a Artifact, data []byte) error {
		sum := sha256.Sum256(data)
		a.SHA256, a.Bytes = hex.EncodeToString(sum[:]), len(data)
		if r.o.PageURL != nil && strings.HasPrefix(a.Key, "pages/") {
			a.URL = r.o.PageURL(a.Key)
		}
		artifacts = append(artifacts, a)
		return r.persist(ctx, func() error { return r.store.Put(ctx, a.Key, data) })
	}
	for _, name := range slices.Sorted(maps.Keys(o.Kept)) {
		if err := put(Artifact{Name: name, Key: t.attemptKey(attempt, name)}, o.Kept[name]); err != nil {
			return nil, err
		}
	}
	for _, language := range slices.Sorted(maps.Keys(o.Pages)) {
		// Each language's folder is whole: the page links to the files beside it.
		for _, name := range slices.Sorted(maps.Keys(o.Published[language])) {
			a := Artifact{Language: language, Name: name, Key: t.pageKey(attempt, language, name)}
			if err := put(a, o.Published[language][name]); err != nil {
				return nil, err
			}
		}
		a := Artifact{Language: language, Name: indexName, Key: t.pageKey(attempt, language, indexName)}
		page := o.Pages[language]
		if !r.o.PlainPages {
			page = Secured(page, t.bundle)
		}
		if err := put(a, page); err != nil {
			return nil, err
		}
	}
	return artifacts, nil
}

const indexName = "index.html"

// Secured returns a page as it is published: with the Content-Security-Policy of its
// report. Rendering adds nothing.
func Secured(page []byte, bundle *report.Bundle) []byte { return policyOf(bundle).Apply(page) }

func policyOf(bundle *report.Bundle) csp.Policy {
	c := bundle.Config.ContentSecurity
	return csp.Policy{InlineScripts: c.InlineScripts, Connect: c.Connect, Images: c.Images}
}

// commit creates the terminal manifest: the point after which the run has ended. Who
// comes second adopts what is there.
func (r *Runner) commit(ctx context.Context, m Manifest) (Manifest, error) {
	key := ManifestKey(m.ID, m.Generation)
	err := r.persist(ctx, func() error { return r.create(ctx, key, m) })
	if errors.Is(err, ErrExists) {
		var other Manifest
		err = r.read(ctx, key, &other)
		return other, err
	}
	return m, err
}

// finish does what follows from a terminal manifest. It may be repeated, and is,
// after a crash.
func (r *Runner) finish(ctx context.Context, t *task, m Manifest) error {
	if err := r.tell(ctx, m); err != nil {
		return err
	}
	if m.Status == StatusCompleted && m.OnDemand == "" { // what the latest pages show is the schedule's
		return r.persist(ctx, func() error { return r.advance(ctx, t, m) })
	}
	return nil
}

// tell puts a copy of a terminal manifest into the outbox.
func (r *Runner) tell(ctx context.Context, m Manifest) error {
	name := string(m.ID) + "-" + path.Base(path.Dir(ManifestKey(m.ID, m.Generation))) + ".yaml"
	err := r.persist(ctx, func() error {
		original, err := r.store.Get(ctx, ManifestKey(m.ID, m.Generation)) // a newer agent's may hold more than m
		if err != nil {
			return err
		}
		return r.store.Put(ctx, OutboxPrefix+name, original)
	})
	if err == nil {
		r.o.Recorded()
	}
	return err
}

// mark says whose pages stand, or stood, at an asset's latest keys.
type mark struct {
	ID         RunID `yaml:"id"`
	Generation int   `yaml:"generation"`
}

// advance makes an asset's latest keys show a run's pages, unless they show a later slot.
//
// Another agent may be at the same: one that was stopped in here, and wakes up when its
// successor has moved on. So what is shown is not in one object, which it could move
// back, but in marks that are only added, and the newest counts. Who wrote pages looks
// at the marks again, and where there is a newer one writes that one's pages: the last
// to write has written the newest. It is not left half way when ctx ends.
func (r *Runner) advance(ctx context.Context, t *task, m Manifest) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), advanceTimeout)
	defer cancel()
	marks := marksPrefix(t.report, t.asset.ID)
	hash := fnv.New32a()
	hash.Write([]byte(marks))
	turn := &r.latest[hash.Sum32()%uint32(len(r.latest))]
	turn.Lock()
	defer turn.Unlock()
	keys, err := r.store.List(ctx, marks)
	if err != nil {
		return err
	}
	shown := t.markKey()
	if len(keys) > 0 && keys[len(keys)-1] > shown {
		return nil
	}
	if err := r.put(ctx, shown, mark{m.ID, m.Generation}); err != nil {
		return err
	}
	for {
		if err := r.show(ctx, t, m); err != nil {
			return err
		}
		if keys, err = r.store.List(ctx, marks); err != nil {
			return err
		}
		if len(keys) == 0 { // ours at least is there: only older ones are removed
			return fmt.Errorf("list %s: what was just written there is not listed", marks)
		}
		newest := keys[len(keys)-1]
		if newest == shown {
			break
		}
		var there mark
		if err := r.read(ctx, newest, &there); err != nil {
			return err
		}
		if err := r.read(ctx, ManifestKey(there.ID, there.Generation), &m); err != nil {
			return err
		}
		shown = newest
	}
	for _, older := range keys[:len(keys)-1] {
		if err := r.store.Delete(ctx, older); err != nil {
			return err
		}
	}
	return nil
}

// advanceTimeout bounds what is still written to the latest keys of a run that was let go.
const advanceTimeout = 30 * time.Second

// show copies a run's pages to its asset's latest keys, and removes what another had
// beside them.
func (r *Runner) show(ctx context.Context, t *task, m Manifest) error {
	for _, a := range m.Artifacts {
		if !strings.HasPrefix(a.Key, "pages/") {
			continue
		}
		data, err := r.store.Get(ctx, a.Key)
		if err != nil {
			return err
		}
		if err := r.store.Put(ctx, LatestKey(t.report, t.asset.ID, a.Language, a.Name), data); err != nil {
			return err
		}
	}
	for _, language := range m.Languages {
		if err := r.prune(ctx, t, m, language); err != nil {
			return err
		}
	}
	return nil
}

// prune deletes from a latest folder what the manifest does not name. It comes after
// the page, which links to nothing of it any more. What stands in folders below is of
// another report.
func (r *Runner) prune(ctx context.Context, t *task, m Manifest, language string) error {
	folder := LatestKey(t.report, t.asset.ID, language, "") + "/"
	keys, err := r.store.List(ctx, folder)
	if err != nil {
		return err
	}
	for _, key := range keys {
		name := strings.TrimPrefix(key, folder)
		named := slices.ContainsFunc(m.Artifacts, func(a Artifact) bool { return a.Language == language && a.Name == name })
		if named || strings.Contains(name, "/") {
			continue
		}
		if err := r.store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
