package notebook

import (
	"encoding/json"
	"testing"

	"nbpress/internal/testenv"
)

// oracle is a real Python with nbformat that tells what is right.
type oracle struct{ python *testenv.Oracle }

type answer struct {
	Error string
	Type  string          // run: the value's type
	Value json.RawMessage // run
	Bytes *string         // run: each character is one byte
	Kinds []string        // shape
	Text  string          // rewrite
}

func newOracle(t testing.TB) oracle {
	t.Helper()
	return oracle{testenv.NewOracle(t, "testdata/oracle.py")}
}

func (o oracle) ask(t testing.TB, do, text string) (a answer) {
	t.Helper()
	o.python.Ask(t, map[string]string{"do": do, "text": text}, &a)
	return a
}
