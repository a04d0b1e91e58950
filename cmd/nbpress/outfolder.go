package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"nbpress/runner"
)

// writtenFile stands in a folder that `nbpress run` wrote: the names of its files,
// each with what digest made of it.
const writtenFile = ".nbpress-run"

// write puts an outcome into a folder, in place of an earlier run's: pages by
// language, and what else was left.
func write(dir string, o runner.Outcome) error {
	files := map[string][]byte{}
	for name, data := range o.Kept {
		files[name] = data
	}
	for language, page := range o.Pages {
		files[filepath.Join(language, "index.html")] = page
		for name, data := range o.Published[language] {
			files[filepath.Join(language, name)] = data
		}
	}
	if err := removeEarlier(dir); err != nil {
		return err
	}
	written := map[string]string{}
	for name, data := range files {
		written[name] = digest(data)
	}
	list, err := json.MarshalIndent(written, "", "  ")
	if err != nil {
		return err
	}
	files[writtenFile] = append(list, '\n')
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// removeEarlier removes what an earlier run wrote into a folder: of the files on its
// list those that nobody has changed since, and folders that are empty then. The list
// cannot lead out of the folder.
func removeEarlier(dir string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	list, err := root.ReadFile(writtenFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	written := map[string]string{}
	if err == nil {
		err = json.Unmarshal(list, &written)
	}
	if err != nil {
		return fmt.Errorf("%s: %w; remove it", filepath.Join(dir, writtenFile), err)
	}
	for name, sum := range written {
		data, err := root.ReadFile(name)
		if err != nil || digest(data) != sum {
			continue // gone, or no longer what the run wrote
		}
		if err := root.Remove(name); err != nil {
			return err
		}
		for folder := filepath.Dir(name); folder != "." && root.Remove(folder) == nil; {
			folder = filepath.Dir(folder)
		}
	}
	return nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
