package jupyter

import _ "embed"

//go:embed launcher.py
var launcher []byte

// Launcher returns the Python script that starts a kernel as this client likes it:
//
//	python3 launcher.py -f connection.json
//
// It works with ipykernel 6 and later; its head says what differs from ipykernel's
// own launcher. The working folder is where the notebook's code shall run.
func Launcher() []byte { return append([]byte(nil), launcher...) }
