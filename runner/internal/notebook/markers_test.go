package notebook

import "testing"

func TestCell_KnowsItsMarkers(t *testing.T) {
	for _, c := range []struct {
		source               string
		skipped, environment bool
	}{
		{"#NoExecute\nx = 1", true, false},
		{"#noexecute", true, false},
		{"# NOEXECUTE \t\r\nx", true, false},
		{"#\tNoExecute", true, false},
		{"#Environment\nx = 1", false, true},
		{"# environment  \n", false, true},
		{"x = 1\n#NoExecute", false, false},
		{"\n#NoExecute", false, false},
		{" #NoExecute", false, false},
		{"##NoExecute", false, false},
		{"#NoExecute!", false, false},
		{"NoExecute", false, false},
		{"#", false, false},
		{"", false, false},
	} {
		cell := &Cell{Type: "code", Source: c.source}
		if cell.Skipped() != c.skipped || cell.Environment() != c.environment {
			t.Errorf("%q: skipped %v, environment %v; want %v, %v", c.source, cell.Skipped(), cell.Environment(), c.skipped, c.environment)
		}
		cell.Type = "markdown"
		if cell.Skipped() || cell.Environment() {
			t.Errorf("%q in a markdown cell is a marker", c.source)
		}
	}
}

func TestCell_KnowsItsTags(t *testing.T) {
	tagged := func(tags any) *Cell { return &Cell{Type: "code", Metadata: map[string]any{"tags": tags}} }
	for _, tag := range []string{"noexecute", "skip-execution"} {
		if !tagged([]any{"a", tag}).Skipped() || !tagged([]string{tag}).Skipped() {
			t.Errorf("tag %s does not skip", tag)
		}
	}
	if !tagged([]any{"environment"}).Environment() {
		t.Error("tag environment makes no environment cell")
	}
	for _, tags := range []any{nil, "noexecute", []any{1, nil, "NoExecute"}, map[string]any{}} {
		if tagged(tags).Skipped() {
			t.Errorf("tags %v skip", tags)
		}
	}
}

func TestNearMiss_TellsTyposFromProse(t *testing.T) {
	for source, want := range map[string]string{
		"#NoExcute\nx = 1":         "#NoExecute",
		"#NoExecut":                "#NoExecute",
		"#NoExecte":                "#NoExecute",
		"#NExecute":                "#NoExecute",
		"#NoExecuted":              "#NoExecute",
		"#NoExec":                  "#NoExecute",
		"# no execute":             "#NoExecute",
		"# No-Execute":             "#NoExecute",
		"#no_execute":              "#NoExecute",
		"##NoExecute":              "#NoExecute",
		" #NoExecute":              "#NoExecute",
		"\n\n#NoExecute":           "#NoExecute",
		"#NoExecute: only at home": "#NoExecute",
		"#NoExecute (local)":       "#NoExecute",
		"# do not execute":         "#NoExecute",
		"#skip-execution":          "#NoExecute",
		"#Enviroment":              "#Environment",
		"#Environement":            "#Environment",
		"#Envrionment":             "#Environment",
		"#Environment:":            "#Environment",
		"#Environments":            "#Environment",
		"#environ":                 "#Environment",
		"# %% Environment":         "#Environment",
		"#NoExecute":               "",
		"# environment ":           "",
		"# Execute":                "",
		"# Execute the query":      "",
		"# Not executed":           "",
		"# Notes":                  "",
		"# Now execute":            "",
		"# Environment variables":  "",
		"# My environment":         "",
		"# The environment":        "",
		"# --- Environment ---":    "",
		"# Load the data":          "",
		"x = 1 #NoExcute":          "",
		"#":                        "",
		"#!/usr/bin/env python":    "",
		"":                         "",
		"# Environment variables are read here and nowhere else": "",
	} {
		found, meant, ok := NearMiss(source)
		if meant != want || ok != (want != "") || ok && found == "" {
			t.Errorf("NearMiss(%q) = %q, %q, %v; want %q", source, found, meant, ok, want)
		}
	}
}
