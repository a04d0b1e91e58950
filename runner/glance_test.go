package runner_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/internal/testenv/month"
	"nbpress/runner"
)

// shown is what a list shows of a manifest.
func shown(m runner.Manifest) runner.Manifest {
	s := runner.Manifest{
		APIVersion: m.APIVersion, Kind: m.Kind, ID: m.ID, Generation: m.Generation, Report: m.Report, Asset: m.Asset,
		ScheduledAt: m.ScheduledAt, OnDemand: m.OnDemand, Trigger: m.Trigger, Asked: m.Asked, BundleCommit: m.BundleCommit,
		Status: m.Status, Artifacts: m.Artifacts, CanceledBy: m.CanceledBy,
	}
	if e := m.Error; e != nil {
		s.Error = &runner.RunError{Code: e.Code, Fault: e.Fault, Message: e.Message, Advice: e.Advice}
	}
	return s
}

// agree fails where Glance reads a document otherwise than Decode does.
func agree(t *testing.T, data []byte) (read bool) {
	t.Helper()
	quick, ok := runner.Glance(data)
	if !ok {
		return false
	}
	whole, err := runner.Decode[runner.Manifest](data, runner.KindRun)
	if err != nil {
		t.Fatalf("Glance read what Decode refuses: %v\n%s", err, data)
	}
	if diff := cmp.Diff(shown(whole), shown(quick)); diff != "" {
		t.Fatalf("Glance reads otherwise than Decode (-Decode +Glance):\n%s\n%s", diff, data)
	}
	return true
}

// written are manifests such as agents write: one that completed, one that failed, one that was
// canceled.
func written(t testing.TB) []string {
	t.Helper()
	canceled, err := runner.Encode(runner.Manifest{
		APIVersion: runner.APIVersion, Kind: runner.KindRun, ID: "abc", Generation: 12, Report: "energy/a", Asset: "plant.1",
		Window: runner.Window{FromDay: "2026-11-16", ToDay: "2026-11-22"}, Languages: []string{"en", "pt_BR"},
		ScheduledAt: time.Date(2026, 11, 23, 6, 0, 0, 0, time.FixedZone("", 3600)), OnDemand: "k3v9", Trigger: runner.TriggerRequest,
		Asked:  runner.Asked{Request: "requests/a.yaml", RequestedBy: "Ana <ana@example.com>", Reason: "customer asked"},
		Status: runner.StatusCanceled, CanceledBy: &runner.Asked{Request: "requests/b.yaml", RequestedBy: "Bo", Reason: "wrong: prices"},
		Attempts: []runner.Attempt{{StartedAt: time.Date(2026, 11, 23, 6, 0, 1, 5e6, time.UTC), Ended: "abandoned", Seconds: map[string]float64{"cells": 1.25}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return []string{month.Manifest(0, 0, 1), month.Manifest(3, 4, 7), string(canceled)}
}

func TestGlance_ReadsWhatAgentsWrite(t *testing.T) {
	for _, text := range written(t) {
		if !agree(t, []byte(text)) {
			t.Errorf("Glance declines:\n%s", text)
		}
	}
}

func TestGlance_LeavesTheOddToTheFullReader(t *testing.T) {
	failed := written(t)[1]
	for name, text := range map[string]string{
		"empty":                   "",
		"a key twice":             failed + "status: completed\n",
		"a key of an error twice": strings.Replace(failed, "  fault: report\n", "  fault: report\n  code: x\n", 1),
		"an unknown key":          failed + "more: yes\n",
		"an anchor":               strings.Replace(failed, "report: ", "report: &a ", 1),
		"an alias":                strings.Replace(failed, "asset: plant-07", "asset: *a", 1),
		"a tag":                   strings.Replace(failed, "asset: ", "asset: !!str ", 1),
		"an escape":               strings.Replace(failed, "asset: plant-07", `asset: "plant\x2d07"`, 1),
		"a comment":               strings.Replace(failed, "status: error", "status: error # or not", 1),
		"a text over two lines":   strings.Replace(failed, "asset: plant-07", "asset: plant\n  07", 1),
		"a quoted one":            strings.Replace(failed, "asset: plant-07", "asset: 'plant\n  07'", 1),
		"a folded one":            strings.Replace(failed, "asset: plant-07", "asset: >-\n  plant-07", 1),
		"a status in a text":      strings.Replace(failed, "asset: plant-07", "asset: |-\n  x\n  status: completed", 1),
		"a second document":       failed + "---\n" + failed,
		"another version":         strings.Replace(failed, "nbpress/v1", "nbpress/v2", 1),
		"another kind":            strings.Replace(failed, "kind: Run", "kind: Slot", 1),
		"nothing for a value":     strings.Replace(failed, "asset: plant-07", "asset:", 1),
		"null":                    strings.Replace(failed, "asset: plant-07", "asset: Null", 1),
		"an octal number":         strings.Replace(failed, "generation: 1", "generation: 010", 1),
		"a tab":                   strings.Replace(failed, "asset: plant-07", "asset: plant\t07", 1),
		"a line end of Unicode":   strings.Replace(failed, "asset: plant-07", "asset: plant\u202807", 1),
		"no UTF-8":                strings.Replace(failed, "asset: plant-07", "asset: plant\xff07", 1),
		"returns":                 strings.ReplaceAll(failed, "\n", "\r\n"),
		"an indented key":         strings.Replace(failed, "asset: ", " asset: ", 1),
		"a traceback further in":  strings.Replace(failed, "|\n    -", "|\n      -", 1),
		"a key that is too long":  strings.Replace(failed, "seconds: {", "seconds: {"+strings.Repeat("a", 1025)+": 1, ", 1),
		"a list's end":            strings.Replace(failed, "\nerror:", "\n  - \nerror:", 1),
	} {
		if text == failed {
			t.Errorf("%s: the test changes nothing", name)
		}
		if _, ok := runner.Glance([]byte(text)); ok {
			t.Errorf("%s: Glance reads it:\n%s", name, text)
		}
	}
}

// Lines are put elsewhere and their parts replaced by what means something in YAML.
func TestGlance_AgreesOnWhatIsMangled(t *testing.T) {
	parts := []string{
		"", " ", "  ", "    ", "\n", "\n\n", ":", ": ", " #", "#", "-", "- ", "  - ", "'", "''", `"`, `""`, "|", "|-", "|+", "|2", ">", ">-", "&a ", "*a", "!!str ", "<<: ",
		"{", "}", "[", "]", ", ", "null", "~", "Null", "true", "no", "0", "007", "0x1f", "0o7", "1_000", "1e3", ".5", "-1", ".inf", "99999999999999999999", "2026-11-23", "2026-11-23T06:00:00Z",
		"2026-11-23 06:00:00", "%", "@", "`", "?", "? ", "...", "---", "\t", "é", "\u00a0", "\u0085", "\u2028", "\ufeff", "\x00", "\\", "y", "a b", "a: b", "{a: 1}", "{a: 1, a: 2}", "[a, b]", "status: error", "error:", "  code: x",
	}
	seed := rand.New(rand.NewPCG(1, 2))
	originals, read := written(t), 0
	for range 4_000 {
		lines := strings.SplitAfter(originals[seed.IntN(len(originals))], "\n")
		for range 1 + seed.IntN(2) {
			at, to := seed.IntN(len(lines)), seed.IntN(len(lines))
			switch line := lines[at]; seed.IntN(4) {
			case 0:
				lines[at], lines[to] = lines[to], line
			case 1:
				lines[at] = ""
			case 2:
				key, _, _ := strings.Cut(line, ":")
				lines[at] = key + ": " + parts[seed.IntN(len(parts))] + parts[seed.IntN(len(parts))] + "\n"
			default:
				cut := seed.IntN(len(line) + 1)
				lines[at] = line[:cut] + parts[seed.IntN(len(parts))] + line[cut:]
			}
		}
		if agree(t, []byte(strings.Join(lines, ""))) {
			read++
		}
	}
	if read < 200 {
		t.Errorf("Glance read %d of them: too few to tell", read)
	}
}

func FuzzGlance(f *testing.F) {
	for _, text := range written(f) {
		f.Add([]byte(text))
	}
	f.Add([]byte("apiVersion: nbpress/v1\nkind: Run\nparameters: {a: 1, b: x}\nerror:\n  traceback: |-\n    a\n\n     b\n  code: c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 1<<16 {
			agree(t, data)
		}
	})
}
