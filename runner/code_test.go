package runner_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nbpress/internal/testenv"
	"nbpress/runner"
)

func TestCodes_AreTheWholeTableInTheManualsOrder(t *testing.T) {
	want := strings.Fields(`cell_error cell_timeout run_timeout start_timeout kernel_died oom_killed evicted
		pod_deleted node_lost unschedulable quota_exceeded image_pull secret_missing token_failed
		output_missing output_invalid output_too_large messages_lost template_error render_timeout
		secret_leaked store_failed invalid_report invalid_request internal`)
	var got []string
	for _, c := range runner.Codes() {
		got = append(got, string(c))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestCode_TellsTheReaderWhatToDo(t *testing.T) {
	seen := map[string]runner.Code{}
	for _, c := range runner.Codes() {
		advice := c.Advice()
		if !strings.HasSuffix(advice, ".") || strings.Contains(advice, "\n") || len(advice) < 20 {
			t.Errorf("%s: advice %q is not a sentence", c, advice)
		}
		if other := seen[advice]; other != "" {
			t.Errorf("%s has the advice of %s", c, other)
		}
		seen[advice] = c
		if f := c.Fault(); f != runner.FaultReport && f != runner.FaultPlatform {
			t.Errorf("%s: fault %q", c, f)
		}
		if c.Retried() && c.Fault() == runner.FaultReport {
			t.Errorf("%s is tried again though the report is at fault", c)
		}
	}
}

func TestCode_RetriesInfrastructureAlone(t *testing.T) {
	tests := []struct {
		code    runner.Code
		fault   runner.Fault
		retried bool
	}{
		{runner.CellError, runner.FaultReport, false},
		{runner.OOMKilled, runner.FaultReport, false},
		{runner.NodeLost, runner.FaultPlatform, true},
		{runner.StoreFailed, runner.FaultPlatform, true},
		{runner.SecretMissing, runner.FaultPlatform, false}, // only a person can grant it
		{runner.TokenFailed, runner.FaultPlatform, true},    // its endpoint may be away
		{runner.Internal, runner.FaultPlatform, true},
		{"of_a_newer_agent", runner.FaultPlatform, true}, // as internal
		{"", runner.FaultPlatform, true},
	}
	for _, test := range tests {
		if got, retried := test.code.Fault(), test.code.Retried(); got != test.fault || retried != test.retried {
			t.Errorf("%q: fault %s, retried %v; want %s, %v", test.code, got, retried, test.fault, test.retried)
		}
		if test.code.Advice() == "" {
			t.Errorf("%q has no advice", test.code)
		}
	}
}

// The constants of code.go and the table are one enumeration.
func TestCodes_HoldEveryConstant(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(testenv.Root(t), "runner", "code.go"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(source)) {
		fields := strings.Fields(line) // CellError Code = "cell_error"
		if len(fields) != 4 || fields[1] != "Code" || fields[2] != "=" {
			continue
		}
		if code := runner.Code(strings.Trim(fields[3], `"`)); !slices.Contains(runner.Codes(), code) {
			t.Errorf("%s has no row in the table", code)
		}
	}
}
