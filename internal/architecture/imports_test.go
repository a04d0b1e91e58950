package architecture

import (
	"fmt"
	"go/ast"
)

// ban forbids packages to some of ours. Patterns are Go's: "x/..." is x and below.
type ban struct {
	name  string
	who   []string // folders that may not
	but   []string // folders of who that may
	what  []string // import paths
	tests bool     // test files may not either
	why   string
	do    string
}

var (
	everyone = []string{"..."}
	beside   = []string{"internal/bench", "internal/e2e", "internal/testenv/...", "runner/runnertest"} // no part of the binary
)

// bans is the picture of ARCHITECTURE.md as a table.
var bans = [...]ban{
	{
		name: "gitsync alone", who: []string{"gitsync/..."}, what: []string{"nbpress/schedule/...", "nbpress/runner/..."}, tests: true,
		why: "gitsync knows files and commits; what they mean to schedules and runs is not its business",
		do:  "give it plain values (bytes, paths, a func) from cmd/nbpress, which joins the three",
	},
	{
		name: "schedule alone", who: []string{"schedule/..."}, what: []string{"nbpress/gitsync/...", "nbpress/runner/..."}, tests: true,
		why: "when something is due is pure calculation, tested over years in milliseconds; Git and pods would end that",
		do:  "hand slots to the fire function that cmd/nbpress passes in",
	},
	{
		name: "runner alone", who: []string{"runner/..."}, what: []string{"nbpress/gitsync/...", "nbpress/schedule/..."}, tests: true,
		why: "a run must execute without Git at hand and without knowing who asked for it",
		do:  "pass values or funcs in from cmd/nbpress, as report.Options does with CheckSchedule",
	},
	{
		name: "engines below", who: []string{"runner", "runner/lease", "runner/report/...", "runner/internal/...", "runner/runnertest"},
		what: []string{"nbpress/runner/kube/...", "nbpress/runner/local/...", "nbpress/runner/store/..."},
		why:  "runner declares what an engine or store must do; were it to know one, the next could not be added without touching it",
		do:   "extend the interface in runner/sandbox.go or runner/store.go and its conformance test in runner/runnertest",
	},
	{
		name: "leaves", who: []string{"internal/...", "runner/internal/..."}, but: []string{"runner/internal/pongo2", "internal/testenv/bucket"}, what: []string{"nbpress/..."},
		why: "strict, jupyter, notebook and render can be read, fuzzed and replaced alone (pongo2 speaks render's protocol, with catalog's translations; bucket finds its programs by testenv)",
		do:  "declare a small interface or take a func; move what two of them share to the caller",
	},
	{
		name: "zmq4 in one place", who: everyone, but: []string{"runner/internal/jupyter", "runner/runnertest"}, what: []string{"github.com/go-zeromq/..."},
		why: "its sockets trust the peer with our memory and hide lost messages; jupyter uses its connections behind a guard (runnertest plays the kernel's side)",
		do:  "use jupyter.Connect",
	},
	{
		name: "go-git in one place", who: everyone, but: []string{"gitsync"}, what: []string{"github.com/go-git/..."}, tests: true,
		why: "its worktrees follow symlinks and its Push walks all history; gitsync goes around both",
		do:  "use gitsync, or the git command in a test",
	},
	{
		name: "cron in one place", who: everyone, but: []string{"schedule"}, what: []string{"github.com/robfig/..."}, tests: true,
		why: "its parser panics on \"TZ=\" and doubles or drops hours at changes of the clock; schedule wraps both",
		do:  "use schedule.Parse",
	},
	{
		name: "pongo2 in one place", who: everyone, but: []string{"runner/internal/pongo2"}, what: []string{"github.com/flosch/..."}, tests: true,
		why: "a template of it can end the process that renders it; only a process that does nothing else may",
		do:  "render through runner.ServePongo2, in a child",
	},
	{
		name: "strict readers in one place", who: everyone, but: []string{"internal/strict"}, what: []string{"github.com/santhosh-tekuri/...", "github.com/tailscale/hujson"}, tests: true,
		why: "one reader means one wording and one way to a position for every mistake in a file",
		do:  "use internal/strict",
	},
	{
		name: "kubernetes in one place", who: everyone, but: []string{"runner/kube"}, what: []string{"k8s.io/...", "sigs.k8s.io/..."}, tests: true,
		why: "it is the heaviest dependency, and nothing above Sandbox may notice which engine runs",
		do:  "put it behind runner.Executor in runner/kube",
	},
	{
		name: "aws in one place", who: everyone, but: []string{"runner/store"}, what: []string{"github.com/aws/..."}, tests: true,
		why: "a store is an interface with a folder as its equal; the SDK's types would leak S3 into all callers",
		do:  "put it behind runner.Store in runner/store",
	},
	{
		name: "command line in one place", who: everyone, but: []string{"cmd/nbpress"}, what: []string{"github.com/spf13/...", "golang.org/x/term"}, tests: true,
		why: "only cmd/nbpress reads flags and talks to a terminal, so that all else can be used without one",
		do:  "take a value as an argument, or a field of the package's Options",
	},
	{
		name: "flags", who: everyone, but: []string{"internal/bench", "internal/e2e"}, what: []string{"flag"},
		why: "flags are the command line's, and cmd/nbpress reads them with cobra",
		do:  "take a value as an argument, or a field of the package's Options",
	},
	{
		name: "processes in one place", who: everyone, but: []string{"runner/local", "internal/bench", "internal/e2e", "internal/testenv/..."}, what: []string{"os/exec"},
		why: "a process that runner/local did not start may survive the agent or see its environment",
		do:  "start it through runner/local, or do it in Go",
	},
	{
		name: "tests apart", who: everyone, but: beside,
		what: []string{"testing/...", "nbpress/internal/testenv/...", "nbpress/runner/runnertest"},
		why:  "the binary would carry the tests' helpers, whose promises are made to tests only",
		do:   "write the few lines it takes beside their caller",
	},
	{
		name: "no unsafe", who: everyone, what: []string{"unsafe", "C"}, tests: true,
		why: "what parses bytes of notebooks and kernels must not be able to corrupt memory",
		do:  "use golang.org/x/sys, or do without",
	},
	{
		name: "current packages", who: everyone, what: []string{"io/ioutil", "log", "math/rand", "github.com/pkg/errors", "golang.org/x/exp/..."}, tests: true,
		why: "each has a successor in the standard library: os and io, log/slog, math/rand/v2, errors and fmt, slices and maps",
		do:  "use the successor",
	},
}

// importRules returns the bans as rules.
func importRules() []rule {
	var rules []rule
	for _, b := range bans {
		rules = append(rules, rule{name: b.name, why: b.why, do: b.do, find: b.find})
	}
	return rules
}

func (b ban) find(src *source) []finding {
	var found []finding
	for _, f := range src.files {
		if f.test && !b.tests || !matches(f.dir, b.who) || matches(f.dir, b.but) {
			continue
		}
		f.imports(func(imported string, spec *ast.ImportSpec) {
			if matches(imported, b.what) {
				found = append(found, finding{spec.Pos(), f.path, fmt.Sprintf("package %s imports %s", f.dir, imported)})
			}
		})
	}
	return found
}
