package runner_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"nbpress/runner"
	"nbpress/runner/runnertest"
)

const databaseURL = "postgres://reader:f3yT-0bQ@db/plants"

// vaultOf grants values to every report; names that it lacks are missing.
type vaultOf map[string]string

func (v vaultOf) Secrets(_ context.Context, _ string, names []string) (map[string]string, error) {
	values := map[string]string{}
	for _, name := range names {
		value, there := v[name]
		if !there {
			return nil, &runner.Failure{Code: runner.SecretMissing, Message: "no " + name}
		}
		values[name] = value
	}
	return values, nil
}

// brokenVault is away.
type brokenVault struct{}

func (brokenVault) Secrets(context.Context, string, []string) (map[string]string, error) {
	return nil, errors.New("no route to host")
}

func TestPress_NeedsEverySecretThatTheBundleNames(t *testing.T) {
	tests := []struct {
		name  string
		vault runner.Vault
		code  runner.Code
		want  string
	}{
		{"none are here", nil, runner.SecretMissing, "config.json asks for DB_URL, and there are no secrets here"},
		{"not granted", vaultOf{}, runner.SecretMissing, "no DB_URL"},
		{"empty", vaultOf{"DB_URL": ""}, runner.SecretMissing, "the secret DB_URL is empty"},
		{"too short", vaultOf{"DB_URL": "1234567"}, runner.SecretMissing, "DB_URL is too short to be kept out of outputs: it has 7 bytes, and needs 8"},
		{"no text", vaultOf{"DB_URL": "12345678\x00"}, runner.SecretMissing, "DB_URL is no text"},
		{"the vault is away", brokenVault{}, runner.Internal, "start: get the secrets: no route to host"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bundle := bundleOf("plant-1")
			bundle.Config.Secrets = []string{"DB_URL"}
			job := jobOf(bundle)
			job.Vault = test.vault
			var exec runnertest.FakeExecutor
			outcome, err := runner.Press(t.Context(), &exec, job)
			if f := outcome.Failure; err != nil || f == nil || f.Code != test.code || !strings.Contains(f.Message, test.want) {
				t.Errorf("got %+v, %v; want %s: %s", f, err, test.code, test.want)
			}
			if n := len(exec.Started()); n != 0 {
				t.Errorf("%d sandboxes were made", n)
			}
		})
	}
}

func TestPress_RefusesWhatHoldsASecret(t *testing.T) {
	archive := func(member string) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.Create("xl/sharedStrings.xml")
		if err == nil {
			_, err = w.Write([]byte(strings.Repeat("blank ", 1000) + member))
		}
		if err = errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	tests := []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"output.json", map[string][]byte{"output.json": []byte(`{"from": "` + databaseURL + `"}`)},
			"output.json holds the value of the secret DB_URL"},
		{"output.json, escaped", map[string][]byte{"output.json": []byte(`{"from": "postgres:\/\/reader:\u0066\u0033yT-0bQ@db\/plants"}`)},
			"output.json holds the value of the secret DB_URL"},
		{"a published file", map[string][]byte{"output.json": []byte(`{}`), "a.csv": []byte("day,from\n1," + databaseURL + "\n")},
			"a.csv holds the value of the secret DB_URL"},
		{"a workbook", map[string][]byte{"output.json": []byte(`{}`), "a.csv": archive(databaseURL)},
			"a.csv holds the value of the secret DB_URL"},
		{"a file's name", map[string][]byte{"output.json": []byte(`{}`), "f3yT-0bQ-plants.csv": nil},
			"the name of a file that matches publish holds the value of the secret PART"},
		{"a page", map[string][]byte{"output.json": []byte(`{"a": "postgres://reader:", "b": "f3yT-0bQ@db/plants"}`)},
			"the page in en holds the value of the secret DB_URL"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bundle := bundleOf("plant-1")
			bundle.Config.Secrets, bundle.Config.Publish = []string{"DB_URL", "PART"}, []string{"*.csv"}
			exec := &faulty{FakeExecutor: runnertest.FakeExecutor{OnCell: func(_ context.Context, spec runner.Spec, _ string) (map[string][]byte, error) {
				if spec.Secrets["DB_URL"] != databaseURL {
					return nil, fmt.Errorf("DB_URL is %q", spec.Secrets["DB_URL"])
				}
				return test.files, nil
			}}}
			if test.name == "a page" {
				exec.render = rendersParts
			}
			job := jobOf(bundle)
			job.Vault = vaultOf{"DB_URL": databaseURL, "PART": "f3yT-0bQ-plants"}
			outcome, err := runner.Press(t.Context(), exec, job)
			if f := outcome.Failure; err != nil || f == nil || f.Code != runner.SecretLeaked || f.Message != test.want {
				t.Fatalf("got %+v, %v; want %s", f, err, test.want)
			}
			if outcome.Pages != nil || outcome.Published != nil {
				t.Errorf("something would be published: %q", outcome.Published)
			}
			if place := placeOf(outcome, databaseURL); place != "" {
				t.Errorf("%s holds the secret", place)
			}
			if _, kept := outcome.Kept["executed.ipynb"]; !kept {
				t.Error("the executed notebook is not kept")
			}
			if _, kept := outcome.Kept["output.json"]; kept && strings.HasPrefix(test.name, "output.json") {
				t.Error("output.json is kept")
			}
		})
	}
}

// placeOf returns where in an outcome a value stands.
func placeOf(o runner.Outcome, value string) string {
	for name, data := range o.Kept {
		if bytes.Contains(data, []byte(value)) {
			return name
		}
	}
	if strings.Contains(fmt.Sprintf("%+v %+v", o.Failure, o.Warnings), value) {
		return "the failure or a warning"
	}
	return ""
}

// rendersParts is a template that joins what stands apart in output.json.
func rendersParts(_ context.Context, stdin io.Reader, stdout io.Writer) error {
	if _, err := io.Copy(io.Discard, stdin); err != nil {
		return err
	}
	for _, language := range []string{"en", "ca"} {
		fmt.Fprintf(stdout, "{\"language\": %q, \"bytes\": %d}\n%s", language, len(databaseURL), databaseURL)
	}
	_, err := fmt.Fprintln(stdout, `{"done": true}`)
	return err
}
