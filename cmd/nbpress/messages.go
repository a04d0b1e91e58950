package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"nbpress/internal/catalog"
	"nbpress/internal/strict"
	"nbpress/runner/report"
	"nbpress/schedule"
)

func messagesCommand(std streams) *cobra.Command {
	var compile bool
	cmd := &cobra.Command{
		Use:   "messages BUNDLE",
		Short: "Bring a report's catalogs up to date with its templates",
		Long: `Gather what the templates of a report ask to be translated into languages/messages.pot,
and bring languages/LANGUAGE/LC_MESSAGES/messages.po up to date with it: as xgettext and
msgmerge do. Translations stay. A new text that is much like one that went gets its
translation, marked as fuzzy; what is no longer needed is kept at the end of the file.

The languages are those of config.json, else the folders of languages/. What is missing
is made. Pages use messages.po where messages.mo is missing or older, with a warning;
--compile makes it. A comment {# TRANSLATORS: ... #} goes with the text behind it, on its
line or the next one.`,
		Example: `  nbpress messages weekly-energy
  nbpress messages weekly-energy --compile`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return updateMessages(std, args[0], compile) },
	}
	cmd.Flags().BoolVar(&compile, "compile", false, "also compile each messages.po to messages.mo")
	return cmd
}

func updateMessages(std streams, dir string, compile bool) error {
	t, name, err := treeOf(dir)
	if err != nil {
		return err
	}
	options, problems := reading(t.fsys, &schedule.Parser{})
	texts, more := report.LoadTexts(t.fsys, name, options)
	if problems = append(problems, more...); len(problems) > 0 {
		return wrongUse(invalidBundle{t, strict.Sort(problems)})
	}
	u := &messagesUpdate{std: std, dir: filepath.Join(dir, "languages"), project: filepath.Base(t.root), texts: texts, now: time.Now()}
	if name != "." {
		u.project = filepath.Base(filepath.FromSlash(name))
	}
	return u.run(compile)
}

// messagesUpdate brings the catalogs of one report up to date. Nothing is written before
// everything could be read.
type messagesUpdate struct {
	std     streams
	dir     string // languages/
	project string
	texts   report.Texts
	now     time.Time

	template *catalog.Catalog
}

func (u *messagesUpdate) run(compile bool) error {
	u.template = catalog.Template(u.project, u.texts.Messages, u.now)
	old, err := readCatalog(filepath.Join(u.dir, "messages.pot"))
	if err != nil {
		return err
	}
	if old != nil && old.Header != nil { // people write remarks and addresses there
		date := u.template.Field("POT-Creation-Date")
		u.template.Header = old.Header
		u.template.SetField("POT-Creation-Date", date)
	}
	if u.template.SameButDate(old) {
		u.template = old
	}
	updates := []catalogUpdate{{path: filepath.Join(u.dir, "messages.pot"), data: u.template.PO(), says: counted(len(u.texts.Messages), "text")}}
	for _, language := range u.texts.Languages {
		more, err := u.language(language, compile)
		if err != nil {
			return err
		}
		updates = append(updates, more...)
	}
	for _, update := range updates {
		if err := u.refuseLinks(update.path); err != nil {
			return err
		}
	}
	for _, update := range updates {
		if err := update.write(u.std); err != nil {
			return err
		}
	}
	return nil
}

// refuseLinks says where a path, from the catalogs' folder on, is a symbolic link: one that
// somebody else merged would have us write elsewhere.
func (u *messagesUpdate) refuseLinks(path string) error {
	for at := path; len(at) >= len(u.dir); at = filepath.Dir(at) {
		if info, err := os.Lstat(at); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return wrongUse(fmt.Errorf("%s is a symbolic link; put the file or folder itself there", at))
		}
	}
	return nil
}

// language returns the files of one language.
func (u *messagesUpdate) language(language string, compile bool) ([]catalogUpdate, error) {
	path := filepath.Join(u.dir, language, "LC_MESSAGES", "messages.po")
	c, err := readCatalog(path)
	if err == nil && c == nil {
		c, err = catalog.New(u.project, language, u.now)
	}
	if err != nil {
		return nil, err
	}
	merged := c.Merge(u.texts.Messages)
	c.SetField("POT-Creation-Date", u.template.Field("POT-Creation-Date"))
	updates := []catalogUpdate{{path: path, data: c.PO(), says: fmt.Sprintf(
		"%d translated, %d to be translated, %d fuzzy, %d no longer needed", merged.Kept, merged.New, merged.Fuzzy, merged.Obsolete)}}
	if compile {
		updates = append(updates, catalogUpdate{path: path[:len(path)-len("po")] + "mo", data: c.MO(), says: "compiled"})
	}
	return updates, nil
}

// readCatalog reads a PO file, nil where there is none.
func readCatalog(path string) (*catalog.Catalog, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, wrongUse(err)
	}
	c, err := catalog.ParsePO(data)
	var syntax *catalog.SyntaxError
	if errors.As(err, &syntax) {
		at := strict.Position{File: path, Line: syntax.Line, Column: syntax.Column}
		return nil, wrongUse(errors.New(at.Problem(syntax.What, syntax.Do).String()))
	}
	return c, err
}

// catalogUpdate is a file that is to be written, and what is said of it.
type catalogUpdate struct {
	path, says string
	data       []byte
}

// write writes the file, unless it is as it should be.
func (u catalogUpdate) write(std streams) error {
	old, err := os.ReadFile(u.path)
	if err == nil && bytes.Equal(old, u.data) {
		_, err = fmt.Fprintf(std.out, "%s: unchanged: %s\n", u.path, u.says)
		return err
	}
	if err := os.MkdirAll(filepath.Dir(u.path), 0o755); err != nil {
		return err
	}
	if err := writeWhole(u.path, u.data); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s: %s\n", u.path, u.says)
	return err
}

// writeWhole replaces a file in one step, so that translations cannot be cut short.
func writeWhole(path string, data []byte) error {
	return (&outFile{path: path, target: path}).write(writes(data))
}

// counted is "1 text" or "2 texts".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
