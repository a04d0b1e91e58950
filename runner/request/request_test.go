package request

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParse_SaysWhatIsWrongAndWhere(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"on demand": {"kind: Request\nreport: energy\nwindow: {from_day: 2026-11-01, to_day: \"2026-11-15\"}\nassets: [a]\nlanguages: [ca]\nreason: customer asked\n", ""},
		"backfill":  {"apiVersion: nbpress/v1\nkind: Request\nreport: a/b\nslots: {from: 2026-11-01, to: 2026-11-15}\nforce: true\nreason: x\n", ""},
		"rerun":     {"kind: Request\nreport: energy\nruns: {status: error, since: 2026-11-23}\ncommit: same\nreason: x\n", ""},
		"no report": {"kind: Request\nslots: {from: 2026-11-01, to: 2026-11-15}\nreason: x\n", `r.yaml:1:1: missing key "report"`},
		"cancel":    {"kind: Request\ncancel: [k3v7aaaaaaaaaaaaaaaa]\nreason: x\n", ""},
		"empty":     {"", "r.yaml:1:1: "},
		"no YAML":   {"kind: [", "r.yaml:"},
		"a typo": {"kind: Request\nreport: energy\nslot: {from: 2026-11-01, to: 2026-11-15}\nreason: x\n",
			`r.yaml:3:1: unknown key "slot"; did you mean "slots"?`},
		"nothing wanted": {"kind: Request\nreport: energy\nreason: x\n", "r.yaml:1:1: the request does not say what it wants"},
		"two things": {"kind: Request\nreport: energy\nwindow: {from_day: 2026-11-01, to_day: 2026-11-02}\ncancel: [k3v7aaaaaaaaaaaaaaaa]\nreason: x\n",
			"r.yaml:4:1: the request wants window and cancel at once"},
		"no reason":    {"kind: Request\nreport: energy\ncancel: [k3v7aaaaaaaaaaaaaaaa]\n", `missing key "reason"`},
		"blank reason": {"kind: Request\nreport: energy\ncancel: [k3v7aaaaaaaaaaaaaaaa]\nreason: \" \"\n", "r.yaml:4:1: the reason is blank"},
		"backward":     {"kind: Request\nreport: energy\nslots: {from: 2026-11-15, to: 2026-11-01}\nreason: x\n", "r.yaml:3:1: the days end (2026-11-01) before they begin (2026-11-15)"},
		"no day":       {"kind: Request\nreport: energy\nslots: {from: 2026-11-31, to: 2026-12-01}\nreason: x\n", "r.yaml:3:15: "},
		"no id":        {"kind: Request\nreport: energy\ncancel: [latest]\nreason: x\n", "r.yaml:3:10: "},
		"needless": {"kind: Request\nreport: energy\nwindow: {from_day: 2026-11-01, to_day: 2026-11-02}\nforce: true\nreason: x\n",
			`r.yaml:4:1: "force" has no meaning beside "window"`},
		"status alone":   {"kind: Request\nreport: energy\nruns: {status: error}\nreason: x\n", "r.yaml:3:1: it does not say since when"},
		"ids and status": {"kind: Request\nreport: energy\nruns: {ids: [k3v7aaaaaaaaaaaaaaaa], status: error}\nreason: x\n", "r.yaml:3:1: "},
		"ids and assets": {"kind: Request\nreport: energy\nruns: {ids: [k3v7aaaaaaaaaaaaaaaa]}\nassets: [a]\nreason: x\n",
			`r.yaml:4:1: "assets" has no meaning beside "ids"`},
		"duplicate key": {"kind: Request\nreport: energy\nreport: other\ncancel: [k3v7aaaaaaaaaaaaaaaa]\nreason: x\n", "r.yaml:3:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := Parse("r.yaml", []byte(test.text))
			var lines []string
			for _, p := range problems {
				lines = append(lines, p.String())
			}
			got := strings.Join(lines, "\n")
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("problems = %q, want %q", got, test.want)
			}
		})
	}
}

func TestEncode_IsReadBackAsItWas(t *testing.T) {
	for name, r := range map[string]*Request{
		"on demand": {Report: "energy", Window: &Window{"2026-11-01", "2026-11-15"}, Assets: []string{"plant-1"}, Languages: []string{"ca"},
			Reason: "customer asked:\nnow", RequestedBy: "Ada <ada@example.com>"},
		"backfill": {Report: "energy", Slots: &Slots{"2026-11-01", "2026-11-15"}, Force: true, Reason: "no"},
		"rerun":    {Report: "energy", Runs: &Runs{Status: "error", Since: "2026-11-23"}, Commit: CommitSame, Reason: "2026-11-23"},
		"runs":     {Report: "1.5", Runs: &Runs{IDs: []string{"22222222222222222222"}}, Reason: "x"},
		"cancel":   {Report: "energy", Cancel: []string{"k3v7aaaaaaaaaaaaaaaa"}, Reason: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := r.Encode()
			if err != nil {
				t.Fatal(err)
			}
			got, problems := Parse("r.yaml", data)
			if len(problems) > 0 {
				t.Fatalf("%v in\n%s", problems, data)
			}
			if diff := cmp.Diff(r, got, cmpopts.IgnoreUnexported(Request{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("kind: Request\nreport: energy\nwindow: {from_day: 2026-11-01, to_day: 2026-11-15}\nreason: x\n"))
	f.Add([]byte("kind: Request\nreport: energy\nruns: {ids: [k3v7aaaaaaaaaaaaaaaa]}\nreason: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, problems := Parse("r.yaml", data)
		if len(problems) > 0 {
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, problems := Parse("r.yaml", again); len(problems) > 0 {
			t.Fatalf("%q was read; written it is %q: %v", data, again, problems)
		}
	})
}
