package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"nbpress/internal/strict"
	"nbpress/runner/report"
	"nbpress/schedule"
)

// reading returns what loading a tree's reports needs of the other packages: the
// schedules' rules, and the tree's own defaults. Problems are those of nbpress.json.
func reading(fsys fs.FS, zones *schedule.Parser) (report.Options, []strict.Problem) {
	defaults, problems := report.LoadDefaults(fsys)
	return report.Options{
		CheckSchedule: func(cron, timezone string) error {
			_, err := zones.Parse(cron, timezone)
			return err
		},
		CheckWindow: func(w report.Window) error {
			_, err := schedule.ParseWindow(w.Name, w.From, w.To)
			return err
		},
		Defaults: defaults,
	}, problems
}

// reading is reading, with what the operator allows.
func (a *agent) reading(fsys fs.FS) (report.Options, []strict.Problem) {
	options, problems := reading(fsys, &a.zones)
	if k := a.c.Executor.Kubernetes; k != nil {
		options.CheckImage, options.Caps = k.checkImage, k.caps()
	}
	return options, problems
}

// tree is a folder of bundles on this machine.
type tree struct {
	root string // where nbpress.json stands, or the bundle itself
	fsys fs.FS
}

// treeOf returns the tree that a folder belongs to, and its path there: the nearest
// folder above it with an nbpress.json, unless a repository ends before.
func treeOf(dir string) (tree, string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return tree{}, "", err
	}
	if info, err := os.Stat(abs); err != nil {
		return tree{}, "", wrongUse(err)
	} else if !info.IsDir() {
		return tree{}, "", wrongUse(fmt.Errorf("%s is a file; name the folder that holds %s", dir, report.ConfigFile))
	}
	root := abs
	for above := abs; ; above = filepath.Dir(above) {
		if exists(filepath.Join(above, report.DefaultsFile)) {
			root = above
			break
		}
		if exists(filepath.Join(above, ".git")) || above == filepath.Dir(above) {
			break
		}
	}
	name, err := filepath.Rel(root, abs)
	if err != nil {
		return tree{}, "", err
	}
	return tree{root: root, fsys: os.DirFS(root)}, filepath.ToSlash(name), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// shown puts a problem's file into the words of the person who typed the path.
func (t tree) shown(p strict.Problem) strict.Problem {
	p.File = t.path(p.File)
	return p
}

// path returns where a file or folder of the tree is, seen from the current folder if
// it is below that.
func (t tree) path(name string) string {
	path := filepath.Join(t.root, filepath.FromSlash(name))
	if here, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(rel) {
			path = rel
		}
	}
	return path
}

// loadBundle loads one bundle of this machine for a command.
func loadBundle(dir string) (*report.Bundle, error) {
	t, name, err := treeOf(dir)
	if err != nil {
		return nil, err
	}
	if !exists(filepath.Join(dir, report.ConfigFile)) {
		return nil, wrongUse(fmt.Errorf("%s is no bundle: it has no %s", dir, report.ConfigFile))
	}
	options, problems := reading(t.fsys, &schedule.Parser{})
	bundle, more := report.Load(t.fsys, name, options)
	if problems = append(problems, more...); len(problems) > 0 {
		return nil, wrongUse(invalidBundle{t, strict.Sort(problems)})
	}
	if name == "." { // a tree of its own: its folder is its name
		bundle.Name = filepath.Base(t.root)
	}
	return bundle, nil
}

// invalidBundle lists everything that is wrong with a bundle.
type invalidBundle struct {
	tree     tree
	problems []strict.Problem
}

func (e invalidBundle) Error() string {
	text := "the bundle is invalid:"
	for _, p := range e.problems {
		text += "\n" + e.tree.shown(p).String()
	}
	return text
}
