package runner_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/runner"
)

var update = flag.Bool("update", false, "write the golden documents of testdata")

// exampleRun is a manifest with something in every key that an error brings.
func exampleRun() runner.Manifest {
	at := time.Date(2026, 11, 23, 6, 0, 0, 0, time.FixedZone("", 3600))
	return runner.Manifest{
		APIVersion: runner.APIVersion, Kind: runner.KindRun, ID: runner.NewRunID("weekly-energy", "plant-1", at), Generation: 1,
		Report: "weekly-energy", Asset: "plant-1", Window: runner.Window{FromDay: "2026-11-16", ToDay: "2026-11-22"},
		Languages: []string{"en", "ca"}, ScheduledAt: at, Trigger: runner.TriggerSchedule, BundleCommit: "5f1cd2a",
		Parameters: map[string]any{"threshold": 0.8, "limit": 9007199254740993, "site": "2026-11-23", "on": "yes", "tags": []any{"a", nil, true}},
		Status:     runner.StatusError,
		Attempts: []runner.Attempt{
			{StartedAt: at.UTC(), Ended: "abandoned"},
			{
				StartedAt: at.UTC().Add(time.Minute), FinishedAt: at.UTC().Add(70*time.Second + 123*time.Millisecond),
				Ended: "cell_error", Message: "ZeroDivisionError: division by zero", Sandbox: "pod-1",
				Seconds: map[string]float64{"start": 2.3, "cells": 7},
			},
		},
		Artifacts: []runner.Artifact{{Name: "executed.ipynb", Key: "runs/x/g1/a2/executed.ipynb", SHA256: strings.Repeat("0f", 32), Bytes: 12}},
		Warnings:  []string{`publish: no file matches "*.xlsx"`},
		Error: &runner.RunError{
			Code: runner.CellError, Fault: runner.FaultReport, Message: "ZeroDivisionError: division by zero",
			Advice: "Mend the cell and merge.", Cell: &runner.CellRef{Index: 6, ExecutionCount: 4, Line: 3},
			Traceback: "Traceback (most recent call last)\nCell In[4], line 3\n      1 a = 1\n----> 3 a / 0\n\nZeroDivisionError: division by zero",
		},
	}
}

func exampleSlot() runner.SlotRecord {
	at := time.Date(2026, 11, 23, 6, 0, 0, 0, time.FixedZone("", 3600))
	return runner.SlotRecord{
		APIVersion: runner.APIVersion, Kind: runner.KindSlot, Report: "weekly-energy", ScheduledAt: at,
		Timezone: "Europe/Madrid", Window: runner.Window{FromDay: "2026-11-16", ToDay: "2026-11-22"},
		Trigger: runner.TriggerCatchUp, BundleCommit: "5f1cd2a", Assets: []string{"plant-1", "plant-2"},
	}
}

func exampleMissed() runner.MissedRecord {
	at := time.Date(2026, 11, 23, 6, 0, 0, 0, time.FixedZone("", 3600))
	return runner.MissedRecord{
		APIVersion: runner.APIVersion, Kind: runner.KindMissed, Report: "weekly-energy", Timezone: "Europe/Madrid",
		First: at.AddDate(0, 0, -14), Last: at.AddDate(0, 0, -7), Count: 2, Why: "catch_up last", Status: runner.StatusMissed,
	}
}

func exampleReport() runner.ReportRecord {
	return runner.ReportRecord{
		APIVersion: runner.APIVersion, Kind: runner.KindReport, Report: "weekly-energy",
		SeenAt: time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC), BundleCommit: "5f1cd2a", Status: runner.StatusError,
		Error: &runner.RunError{
			Code: runner.InvalidReport, Fault: runner.FaultReport, Message: "1 problem", Advice: "Run `nbpress check`.",
			Problems: []string{`weekly-energy/config.json:3:5: unknown key "windo"; did you mean "window"?`},
		},
	}
}

func TestEncode_ReadsAsTheManualSays(t *testing.T) {
	golden(t, "run.yaml", exampleRun(), runner.KindRun)
	golden(t, "slot.yaml", exampleSlot(), runner.KindSlot)
	golden(t, "report.yaml", exampleReport(), runner.KindReport)
	golden(t, "missed.yaml", exampleMissed(), runner.KindMissed)
}

// golden compares a document with a file, and with itself after a round trip.
func golden[T any](t *testing.T, name string, document T, kind string) {
	t.Helper()
	got, err := runner.Encode(document)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", path, diff)
	}
	back, err := runner.Decode[T](got, kind)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(document, back); diff != "" {
		t.Errorf("%s is not the same after a round trip:\n%s", name, diff)
	}
}

func TestDecode_ToleratesKeysOfANewerAgent(t *testing.T) {
	data, err := runner.Encode(exampleRun())
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(data), "report: ", "mood: {good: 1}\nreport: ", 1)
	newer = strings.Replace(newer, "  fault: ", "  culprit: x\n  fault: ", 1)
	got, err := runner.Decode[runner.Manifest]([]byte(newer), runner.KindRun)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exampleRun(), got); diff != "" {
		t.Error(diff)
	}
}

func TestDecode_RefusesWhatItIsNot(t *testing.T) {
	tests := []struct{ name, data, want string }{
		{"another kind", "apiVersion: nbpress/v1\nkind: Slot\n", `kind is "Slot", not "Run"`},
		{"no kind", "apiVersion: nbpress/v1\n", `kind is "", not "Run"`},
		{"another version", "apiVersion: nbpress/v2\nkind: Run\n", `apiVersion is "nbpress/v2", not "nbpress/v1"`},
		{"nothing", "", `apiVersion is ""`},
		{"a list", "- a\n", "decode a document"},
		{"no YAML", "a: b: c", "decode a document"},
		{"wrong types", "apiVersion: nbpress/v1\nkind: Run\ngeneration: many\n", "decode a Run"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := runner.Decode[runner.Manifest]([]byte(test.data), runner.KindRun)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// What a notebook says stands in manifests: whatever it is, it must come back.
func TestEncode_KeepsWhateverANotebookSays(t *testing.T) {
	for _, text := range []string{
		"", "a\n", "a\n \n", "a\n\n\nb\n\n\n", "a\n\tb", "\ufeff\n\tb", "\u200b\tx\ny", "# a\nb", "-\nb", "trailing  \nx\n\n", "tab\there\n\tand there", "a: b # c", "- x", "---", "...", "%x",
		"café ☃ 😀", "x\u0085\u2028\u2029", "\x00\x07\x1b[31m", "cr\r\nlf", "yes", "1e3", "0x1f", "~", "null", "2026-11-23", "!!binary x", "&a *b",
		"\ufeffbom", strings.Repeat("long ", 1000), "invalid \xff\xfe utf-8",
	} {
		m := exampleRun()
		m.Error.Message, m.Error.Traceback, m.Warnings = text, text, []string{text}
		m.Parameters = map[string]any{"p": text}
		data, err := runner.Encode(m)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		back, err := runner.Decode[runner.Manifest](data, runner.KindRun)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := cmp.Diff(m, back); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
		if again, err := runner.Encode(back); err != nil || string(again) != string(data) {
			t.Errorf("%q: adopted by another agent it reads otherwise: %v\n%s\n%s", text, err, data, again)
		}
	}
}

func TestNewRunID_DependsOnTheSlotAndTheAssetAlone(t *testing.T) {
	at := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	id := runner.NewRunID("weekly-energy", "plant-1", at)
	if same := runner.NewRunID("weekly-energy", "plant-1", at.In(time.FixedZone("", 3600))); same != id {
		t.Errorf("in another zone the id is %s, not %s", same, id)
	}
	for _, other := range []runner.RunID{
		runner.NewRunID("weekly-energy", "plant-2", at), runner.NewRunID("weekly", "plant-1", at),
		runner.NewRunID("weekly-energy", "plant-1", at.Add(time.Minute)), runner.NewRunID("weekly-energyplant", "-1", at),
	} {
		if other == id {
			t.Errorf("another run has the id %s", id)
		}
	}
	if len(id) != 20 || strings.Trim(string(id), "abcdefghijklmnopqrstuvwxyz234567") != "" {
		t.Errorf("%s is no name for a pod", id)
	}
}

// Blanks in front of several lines are the one thing that is not kept.
func TestEncode_DropsBlanksInFront(t *testing.T) {
	for _, text := range []string{"\t\n\tb", "\n\n\nb", " \n b", "\u2028\nb", "\n", " b"} {
		m := exampleRun()
		m.Error.Message, m.Error.Traceback, m.Error.Problems, m.Warnings = text, text, []string{text}, []string{text}
		m.Attempts[1].Message = text
		data, err := runner.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := runner.Decode[runner.Manifest](data, runner.KindRun)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		want := strings.TrimSpace(text)
		got := []string{back.Error.Message, back.Error.Traceback, back.Error.Problems[0], back.Warnings[0], back.Attempts[1].Message}
		for _, s := range got {
			if s != want {
				t.Errorf("%q: got %q, want %q each time", text, got, want)
				break
			}
		}
		if m.Warnings[0] != text {
			t.Errorf("Encode changed its argument to %q", m.Warnings[0])
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("ValueError: no data", "Traceback\n  line\n\tline\n")
	f.Add("\t\nx", "\n\u0085 \x00\xff\ufeff")
	f.Fuzz(func(t *testing.T, message, traceback string) {
		m := exampleRun()
		m.Error.Message, m.Error.Traceback = message, traceback
		data, err := runner.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := runner.Decode[runner.Manifest](data, runner.KindRun)
		if err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v\n%s", err, data)
		}
		if again, err := runner.Encode(back); err != nil || string(again) != string(data) {
			t.Errorf("%v\n%s\n%s", err, data, again)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"run.yaml", "slot.yaml", "report.yaml"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("apiVersion: nbpress/v1\nkind: Run\nparameters: {a: .nan, b: !!binary AA==, ? [x] : 1, c: 2026-11-23}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := runner.Decode[runner.Manifest](data, runner.KindRun)
		if err != nil {
			return
		}
		if m.Kind != runner.KindRun || m.APIVersion != runner.APIVersion {
			t.Errorf("took a %s of %s for a run", m.Kind, m.APIVersion)
		}
		// An agent copies documents that others may have written; no document makes it
		// panic. That ours read back as they were is FuzzEncode's to prove.
		_, _ = runner.Encode(m)
	})
}
