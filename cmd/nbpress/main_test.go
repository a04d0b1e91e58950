package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"nbpress/internal/testenv"
	"nbpress/internal/testenv/authority"
	"nbpress/internal/testenv/bucket"
)

// TestMain makes the test binary the program itself: as `nbpress` in the scripts, and
// as what this `nbpress` makes of itself: PID 1 of sandboxes, renderers.
func TestMain(m *testing.M) {
	if status, own := ownProcess(); own {
		syscall.Exit(status) // not os.Exit, which sleeps a second under the race detector
	}
	testscript.Main(m, map[string]func(){"nbpress": testedMain})
}

// TestScript runs the scripts of testdata/script: the whole product as people use it,
// on real kernels, real Git repositories and a real store.
//
// Beside testscript's own commands they have those of script_test.go. python3 is the
// virtual environment's, $EXAMPLES is reports-example, $S3 a server with a bucket in the
// folder $BUCKET, $LINE a line to it that `line` cuts (for one script alone), $UNIQUE is no other process's word.
func TestScript(t *testing.T) {
	testenv.HeedSignals()
	python, root := testenv.Python(t), testenv.Root(t)
	// Kernels listen on Unix sockets, whose paths have 107 bytes at most: keep ours short.
	server := bucket.Start(t)
	line := server.Line(t)
	work, err := os.MkdirTemp("", "nb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(work) }) // testscript removes what it made, and says so if it cannot
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		WorkdirRoot:         work,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("NBPRESS_UPDATE_SCRIPTS") != "", // writes what cmp got into the scripts
		Cmds:                scriptCommands(line),
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, ".home")
			env.Vars = append(env.Vars, bucket.Environ()...)
			env.Vars = append(env.Vars,
				"EXAMPLES="+filepath.Join(root, "reports-example"),
				"PYTHON="+python,
				"UNIQUE="+filepath.Base(work)+filepath.Base(env.WorkDir), // on this machine
				"PATH="+filepath.Dir(python)+":"+os.Getenv("PATH"),
				"HOME="+home, "XDG_CACHE_HOME="+filepath.Join(home, "cache"),
				"VIRTUAL_ENV=",
				"S3="+server.URL, "LINE="+line.URL, "BUCKET="+server.Dir,
				"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
				"GIT_AUTHOR_NAME=Ada Analyst", "GIT_AUTHOR_EMAIL=ada@example.com",
				"GIT_COMMITTER_NAME=Ada Analyst", "GIT_COMMITTER_EMAIL=ada@example.com",
				"GORACE=atexit_sleep_ms=0",
			)
			env.Values[envKey{}] = env.Vars
			env.Values[authorityKey{}] = new(*authority.Server)
			return os.MkdirAll(home, 0o755)
		},
		Condition: func(condition string) (bool, error) {
			return condition == "root" && os.Geteuid() == 0, nil
		},
	})
}
