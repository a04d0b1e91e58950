package report

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"nbpress/internal/strict"
	"nbpress/runner/internal/notebook"
)

// outputFile is what the notebook hands to the template.
const outputFile = "output.json"

// checkNotebook parses the notebook and checks what nbpress will make of its cells.
func (l *loader) checkNotebook() {
	data, ok := l.need(NotebookFile, "add the notebook that computes the report")
	if !ok {
		return
	}
	nb, err := notebook.Parse(data)
	if err != nil {
		at := whole(l.path(NotebookFile))
		var syntax *notebook.SyntaxError
		if errors.As(err, &syntax) {
			at.Line, at.Column = max(syntax.Line, 1), max(syntax.Column, 1)
			err = errors.New(syntax.Msg)
		}
		l.problem(at, err.Error(), "")
		return
	}
	l.bundle.Notebook = nb
	l.checkMarkers()
	l.checkOutputCell()
	uses := l.environmentNames()
	if l.parametersKnown() {
		l.checkNames()
		l.checkUnused(uses)
	}
	l.decideExecution(uses)
}

// cell returns where a line of a cell's source stands in the file.
func (l *loader) cell(index, line int) strict.Position {
	at := whole(l.path(NotebookFile))
	if fileLine, fileColumn := l.bundle.Notebook.Position(index, line); fileLine > 0 {
		at.Line, at.Column = fileLine, fileColumn
	}
	return at
}

// cellName names a cell as people count them in Jupyter.
func cellName(index int) string { return fmt.Sprintf("cell %d", index+1) }

func (l *loader) checkMarkers() {
	for i, c := range l.bundle.Notebook.Cells {
		if c.Type != "code" || c.Skipped() || c.Environment() {
			continue
		}
		if found, meant, ok := notebook.NearMiss(c.Source); ok {
			l.problem(l.cell(i, 1), fmt.Sprintf("%s: %q is not a marker", cellName(i), found), fmt.Sprintf("did you mean %q on the first line?", meant))
		}
	}
}

// checkOutputCell wants the last executed cell to write output.json. It can only
// look for the name.
func (l *loader) checkOutputCell() {
	last, writer := -1, -1
	for i, c := range l.bundle.Notebook.Cells {
		if !c.Executed() {
			continue
		}
		last = i
		if strings.Contains(c.Source, outputFile) {
			writer = i
		}
	}
	switch {
	case last < 0:
		l.problem(whole(l.path(NotebookFile)), "the notebook has no code cell that is executed", "the last one must write "+outputFile)
	case writer < 0:
		l.problem(l.cell(last, 1), "no executed cell mentions "+outputFile, "end the notebook with a cell that writes it")
	case writer < last:
		l.problem(l.cell(last, 1), fmt.Sprintf("%s is the last executed one, but %s writes %s", cellName(last), cellName(writer), outputFile),
			"write it at the end, or begin what follows with #NoExecute")
	}
}

// nameUse is one $NAME of an environment cell.
type nameUse struct {
	notebook.NameUse
	cell int
}

// environmentNames returns the names that nbpress replaces, in order.
func (l *loader) environmentNames() []nameUse {
	return l.namesOf(func(c *notebook.Cell) bool { return c.Executed() && c.Environment() })
}

func (l *loader) namesOf(which func(*notebook.Cell) bool) []nameUse {
	var uses []nameUse
	for i, c := range l.bundle.Notebook.Cells {
		if !which(c) {
			continue
		}
		for _, use := range notebook.Names(c.Source) {
			uses = append(uses, nameUse{use, i})
		}
	}
	return uses
}

// parametersKnown reports whether everything that may give a name a value could be
// read; else what is said about names might be wrong.
func (l *loader) parametersKnown() bool {
	if l.doc == nil || !l.doc.Has("/assets") || !l.doc.Lacks("/parameters") && !l.doc.Has("/parameters") {
		return false
	}
	table := l.file.Assets.csv
	return table == "" || !slices.ContainsFunc(l.problems, func(p strict.Problem) bool { return p.File == l.path(table) }) && len(l.assets) > 0
}

// checkNames substitutes as a run would, with every name that any asset has, and
// then looks for assets that lack one.
func (l *loader) checkNames() {
	values := notebook.Values{}
	for _, name := range reservedNames() {
		values[name] = ""
	}
	for name := range l.names {
		values[name] = ""
	}
	given := map[string]bool{}
	for name := range l.bundle.Config.Parameters {
		given[strings.ToUpper(name)] = true
	}
	for i, c := range l.bundle.Notebook.Cells {
		if !c.Executed() || !c.Environment() {
			continue
		}
		_, used, problems := notebook.Substitute(c.Source, values)
		for _, p := range problems {
			l.problem(l.cell(i, p.Line), fmt.Sprintf("%s, line %d: %s", cellName(i), p.Line, p.What), p.Do)
		}
		for _, name := range used {
			if !given[name] && !slices.Contains(reservedNames(), name) {
				l.checkEveryAssetHas(name, i)
			}
		}
	}
}

// checkEveryAssetHas reports the first asset that has no value for a name that
// only assets give.
func (l *loader) checkEveryAssetHas(name string, cell int) {
	for _, e := range l.assets {
		if e.asset.ID == "" {
			continue // refused: its parameters are not known
		}
		if _, ok := e.asset.Parameters[l.names[name]]; ok {
			continue
		}
		line := 1
		for _, use := range notebook.Names(l.bundle.Notebook.Cells[cell].Source) {
			if use.Name == name {
				line = use.Line
				break
			}
		}
		l.problem(l.cell(cell, line), fmt.Sprintf("%s, line %d: $%s has no value for asset %q", cellName(cell), line, name, e.asset.ID),
			`give it to the asset, or to all in "parameters"`)
		return
	}
}

// checkUnused reports parameters of this report that replace nothing. Those of
// nbpress.json are for reports that want them.
func (l *loader) checkUnused(uses []nameUse) {
	used := map[string]bool{}
	for _, use := range uses {
		used[use.Name] = true
	}
	reported := map[strict.Position]bool{}
	report := func(name string, at strict.Position) {
		upper := strings.ToUpper(name)
		if used[upper] || reported[at] || l.names[upper] == "" {
			return
		}
		reported[at] = true
		l.problem(at, fmt.Sprintf("the parameter %q replaces nothing", name), l.unusedAdvice(upper))
	}
	for _, name := range l.doc.Keys("/parameters") {
		if at := l.doc.AtKey(strict.Pointer("parameters", name)); l.own(at) {
			report(name, at)
		}
	}
	for _, e := range l.assets {
		for _, name := range sortedKeys(e.parameters) {
			if _, ok := l.bundle.Config.Parameters[name]; !ok { // else reported, or a default's
				report(name, e.parameters[name])
			}
		}
	}
}

// unusedAdvice looks whether the name stands where nbpress does not replace it.
func (l *loader) unusedAdvice(upper string) string {
	elsewhere := l.namesOf(func(c *notebook.Cell) bool { return c.Executed() && !c.Environment() })
	for _, use := range elsewhere {
		if use.Name == upper {
			return fmt.Sprintf("$%s stands in %s, which does not begin with #Environment", upper, cellName(use.cell))
		}
	}
	return fmt.Sprintf(`use "$%s" in an #Environment cell, or remove it`, upper)
}

// decideExecution says whether the notebook runs once or for every language.
func (l *loader) decideExecution(uses []nameUse) {
	b := l.bundle
	reads := slices.IndexFunc(uses, func(u nameUse) bool { return u.Name == "LANGUAGE" && !u.Misplaced })
	switch {
	case b.Config.Execute != "":
		b.ExecutePerLanguage = b.Config.Execute == "per_language"
		b.ExecuteReason = fmt.Sprintf(`%s: "execute" says so`, executeWords(b.ExecutePerLanguage))
	case reads >= 0:
		b.ExecutePerLanguage = true
		at := l.cell(uses[reads].cell, uses[reads].Line)
		b.ExecuteReason = fmt.Sprintf("%s: $LANGUAGE stands in %s (%s:%d)", executeWords(true), cellName(uses[reads].cell), path.Base(at.File), at.Line)
	default:
		b.ExecuteReason = executeWords(false) + ": no #Environment cell reads $LANGUAGE"
	}
}

func executeWords(perLanguage bool) string {
	if perLanguage {
		return "executed for every language"
	}
	return "executed once"
}
