package report

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"nbpress/internal/strict"
)

// reservedNames are the names that nbpress itself gives to a notebook.
func reservedNames() []string {
	return []string{"ASSET_ID", "FROM_DAY", "TO_DAY", "LANGUAGE", "TOKEN", "SCHEDULED_AT", "RUN_ID"}
}

// checkConfig applies the rules that a JSON Schema cannot say.
func (l *loader) checkConfig() {
	if l.doc == nil {
		return
	}
	l.checkSchedule()
	w := l.bundle.Config.Window
	if check := l.options.CheckWindow; check != nil && (w.Name != "" || w.From != "" && w.To != "") {
		if err := check(w); err != nil {
			l.problem(l.doc.At("/window"), err.Error(), "")
		}
	}
	l.checkImage()
	l.capResources()
	for _, name := range l.doc.Keys("/parameters") {
		l.checkParameterName(name, l.doc.AtKey(strict.Pointer("parameters", name)))
	}
	l.checkTimeout()
	for i, name := range l.file.Secrets {
		if _, ok := l.file.Env[name]; ok && name != "" {
			l.problem(l.doc.At(strict.Pointer("secrets", i)), fmt.Sprintf(`%q stands in "env" as well`, name), "keep one of them")
		}
	}
	l.checkToken()
	if l.file.Content.Scripts != "inline" && len(l.file.Content.Connect) > 0 {
		l.problem(l.doc.At("/content_security/connect"), `"connect" is for scripts, and none may run`, `add "scripts": "inline", or remove it`)
	}
	for i, pattern := range l.file.Publish {
		if err := checkPattern(pattern); err != nil && pattern != "" {
			l.problem(l.doc.At(strict.Pointer("publish", i)), fmt.Sprintf("pattern %q: %v", pattern, err), `write one such as "*.xlsx" or "tables/*.csv"`)
		}
	}
}

// checkToken wants a variable for a token only where there is a token, and nothing else in
// the variable.
func (l *loader) checkToken() {
	name := l.file.TokenEnv
	if name == "" {
		return
	}
	at := l.doc.At("/token_env")
	switch _, taken := l.file.Env[name]; {
	case taken:
		l.problem(at, fmt.Sprintf(`%q stands in "env" as well`, name), "keep one of them")
	case slices.Contains(l.file.Secrets, name):
		l.problem(at, fmt.Sprintf(`%q stands in "secrets" as well`, name), "keep one of them")
	case l.bundle.Config.Token == "" && l.own(at):
		l.problem(at, `"token_env" is where a token goes, and none is asked for`, `add "token": "jwt", or the kind that your operator gives out`)
	}
}

// checkTimeout wants a cell to have no longer than the run. Where one comes from
// nbpress.json, the report's own wins.
func (l *loader) checkTimeout() {
	t := &l.bundle.Config.Timeout
	if t.Cell <= t.Run {
		return
	}
	cell, run := l.doc.At("/timeout/cell"), l.doc.At("/timeout/run")
	switch {
	case cell.File == run.File:
		l.problem(cell, `"timeout.cell" is longer than "timeout.run"`, "a run is all its cells: raise run or lower cell")
	case l.own(run):
		t.Cell = t.Run
	default:
		t.Run = t.Cell
	}
}

// checkImage holds the image against what the operator allows.
func (l *loader) checkImage() {
	image := l.bundle.Config.Image
	if l.options.CheckImage == nil || image == "" {
		return
	}
	if err := l.options.CheckImage(image); err != nil {
		l.problem(l.doc.At("/image"), err.Error(), "")
	}
}

// capResources gives the report no more than the operator does.
func (l *loader) capResources() {
	asked, caps := &l.bundle.Config.Resources, l.options.Caps
	over := func(key string, asked, most fmt.Stringer) {
		l.bundle.Warnings = append(l.bundle.Warnings, fmt.Sprintf("resources.%s is %v, and the operator gives %v at most: runs get that", key, asked, most))
	}
	if caps.MilliCPU > 0 && asked.MilliCPU > caps.MilliCPU {
		over("cpu", strict.MilliCPU(asked.MilliCPU), strict.MilliCPU(caps.MilliCPU))
		asked.MilliCPU = caps.MilliCPU
	}
	if caps.Memory > 0 && asked.Memory > caps.Memory {
		over("memory", strict.Bytes(asked.Memory), strict.Bytes(caps.Memory))
		asked.Memory = caps.Memory
	}
}

// checkSchedule tells a wrong expression from a wrong zone by checking each with
// one of the other that is right.
func (l *loader) checkSchedule() {
	check := l.options.CheckSchedule
	if check == nil {
		return
	}
	s := l.bundle.Config.Schedule
	hasCron, hasZone := l.doc.Has("/schedule/cron"), l.doc.Has("/schedule/timezone")
	cronErr, zoneErr := error(nil), error(nil)
	if hasCron {
		cronErr = check(s.Cron, "UTC")
	}
	if hasZone {
		zoneErr = check("0 6 * * 1", s.Timezone)
	}
	if cronErr == nil && zoneErr == nil && hasCron {
		cronErr = check(s.Cron, s.Timezone)
	}
	if cronErr != nil {
		l.problem(l.doc.At("/schedule/cron"), cronErr.Error(), "")
	}
	if zoneErr != nil {
		l.problem(l.doc.At("/schedule/timezone"), zoneErr.Error(), "")
	}
}

// checkParameterName refuses names that a notebook could not tell apart from
// another. The schema has refused those that are no $NAME at all.
func (l *loader) checkParameterName(name string, at strict.Position) {
	upper := strings.ToUpper(name)
	if slices.Contains(reservedNames(), upper) {
		l.problem(at, fmt.Sprintf("the parameter %q has the name of nbpress's own $%s", name, upper), "choose another name")
		return
	}
	first, ok := l.names[upper]
	if ok && first != name {
		l.problem(at, fmt.Sprintf("the parameters %q and %q are both $%s", first, name, upper), "write the name in one way")
		return
	}
	l.names[upper] = name
}

func checkPattern(pattern string) error {
	switch {
	case strings.HasPrefix(pattern, "/"):
		return errors.New("it starts with /")
	case strings.Contains(pattern, `\`):
		return errors.New(`it holds \`)
	case strings.Contains(pattern, "**"):
		return errors.New("** is not known, * does not cross folders")
	}
	for part := range strings.SplitSeq(pattern, "/") {
		if part == ".." || part == "." || part == "" {
			return fmt.Errorf("it has a part %q", part)
		}
	}
	if _, err := path.Match(pattern, "x"); err != nil {
		return errors.New("a [ that is not closed, or an empty []")
	}
	return nil
}
