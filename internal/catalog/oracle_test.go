package catalog

import (
	"encoding/json"
	"testing"

	"nbpress/internal/testenv"
)

// oracle is a real Python, with its own gettext and with Babel.
type oracle struct{ python *testenv.Oracle }

func newOracle(t testing.TB) oracle {
	t.Helper()
	return oracle{testenv.NewOracle(t, "testdata/oracle.py")}
}

// ask puts a question and fills in the answer's value. It returns what Python raised.
func (o oracle) ask(t testing.TB, do, text string, value any) string {
	t.Helper()
	var answer struct {
		Value json.RawMessage
		Error string
	}
	o.python.Ask(t, map[string]string{"do": do, "text": text}, &answer)
	if answer.Error == "" {
		if err := json.Unmarshal(answer.Value, value); err != nil {
			t.Fatal(err)
		}
	}
	return answer.Error
}
