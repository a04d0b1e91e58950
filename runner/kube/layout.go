package kube

import (
	_ "embed"
	"strconv"
	"time"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/render"
)

// What is where in a pod. Its two containers, kernel and desk, share the work folder and
// the log's; the programs come from the attempt's Secret.
const (
	programDir = "/nbpress"      // the programs, read-only; in the kernel's container also the key
	workDir    = "/work"         // the bundle's files; the notebook's working directory
	logDir     = "/log"          // the end of what the kernel's processes printed; the desk only reads it
	homeDir    = "/home/nbpress" // $HOME of the notebook
	tmpDir     = "/tmp"          // $TMPDIR, one in each container
	runDir     = "/run/nbpress"  // the kernel's connection file, in memory
	deskDir    = "/desk"         // where the desk renders; not in the kernel's container
	keyFile    = "key"           // the name in programDir
)

// The ports of a pod. A pod has an address of its own, so they are the same in each.
const (
	portLeash = 5550 + iota
	portShell
	portIOPub
	portStdin
	portControl
	portHeartbeat
)

var (
	//go:embed warden.py
	wardenProgram []byte
	//go:embed desk.py
	deskProgram []byte
	//go:embed folders.py
	foldersProgram []byte
)

// programs returns the files of programDir by name, but for the key.
func programs() map[string][]byte {
	return map[string][]byte{
		"warden.py":   wardenProgram,
		"desk.py":     deskProgram,
		"folders.py":  foldersProgram,
		"launcher.py": jupyter.Launcher(),
		"render.py":   render.Script(),
	}
}

// kernelPrograms and deskPrograms name what each container needs of programs.
var (
	kernelPrograms = [...]string{"folders.py", "launcher.py", "warden.py"}
	deskPrograms   = [...]string{"desk.py", "folders.py", "render.py"}
)

// kernelCommand is process 1 of the kernel's container, which ends where nobody takes its
// leash within the given time.
func kernelCommand(leashWithin time.Duration) []string {
	seconds := strconv.Itoa(int(leashWithin.Round(time.Second) / time.Second))
	return []string{"python3", "-I", programDir + "/warden.py", "--leash-within", seconds}
}

// deskCommand is process 1 of the desk's container.
func deskCommand() []string { return []string{"python3", "-I", programDir + "/desk.py", "wait"} }
