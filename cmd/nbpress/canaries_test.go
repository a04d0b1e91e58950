package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"nbpress/internal/testenv"
	"nbpress/runner"
)

// canaries returns twenty secrets of the kinds that there are. Each has a part that is
// nowhere else.
func canaries() map[string]string {
	random := rand.New(rand.NewPCG(7, 4)) // the same each time
	text := func(n int, alphabet string) string {
		letters := []rune(alphabet)
		out := make([]rune, n)
		for i := range out {
			out[i] = letters[random.IntN(len(letters))]
		}
		return string(out)
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	lines := func(n, width int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = text(width, letters+"+/")
		}
		return strings.Join(all, "\n")
	}
	kinds := []string{
		text(8, letters), text(16, "0123456789"), text(32, "0123456789abcdef"), text(40, letters+"-_"),
		"postgres://reader:" + text(12, letters) + "@db.example.com:5432/plants?sslmode=require",
		"https://user:" + text(10, letters) + "%2F" + text(6, letters) + "@example.com/a?b=c&d=e",
		"p@ss w&rd<" + text(8, letters) + ">'\"!", `back\slash\n` + text(9, letters) + `\`, "it's " + text(8, letters) + "; rm -rf '$HOME'",
		"contraseña-" + text(8, letters) + "-ñandú", "密码" + text(9, letters) + "密钥", "🔑" + text(10, letters) + "🔒",
		"{\"type\": \"service_account\",\n  \"private_key_id\": \"" + text(30, letters) + "\",\n  \"x\": 1\n}",
		"-----BEGIN PRIVATE KEY-----\n" + lines(8, 64) + "\n-----END PRIVATE KEY-----",
		"eyJhbGciOiJFZERTQSJ9." + text(60, letters+"-_") + "." + text(80, letters+"-_"),
		text(3000, letters), text(9, letters) + "\t" + text(9, letters), "%41%42" + text(9, letters) + "%zz",
		"&amp;" + text(9, letters) + "&#39;", "a+b/c=" + text(11, letters) + "==",
	}
	named := map[string]string{}
	for i, value := range kinds {
		named[fmt.Sprintf("CANARY_%02d", i)] = value
	}
	return named
}

// encodings are what the notebook writes of a canary, made here by other code than
// looks for them.
func encodings(value string) map[string]string {
	inJSON, _ := json.Marshal(value)
	twice, _ := json.Marshal(strings.Trim(string(inJSON), `"`))
	return map[string]string{
		"plain":   value,
		"base64":  strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(value)), "=")[:len(value)*8/6],
		"urlsafe": strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(value)), "=")[:len(value)*8/6],
		"query":   url.QueryEscape(value),
		"json":    strings.Trim(string(inJSON), `"`),
		"json2":   strings.Trim(string(twice), `"`),
		"hex":     hex.EncodeToString([]byte(value)),
		"html":    html.EscapeString(value),
	}
}

// shows defines all(), every canary in every encoding, and what shows them.
const shows = `
import base64, html, json, logging, os, subprocess, sys, urllib.parse, warnings
names = sorted(n for n in os.environ if n.startswith('CANARY_'))
assert len(names) == 20, names
def encodings(v):
    b = v.encode()
    yield v
    yield base64.b64encode(b).decode()
    yield base64.b64encode(b'x' + b).decode()
    yield base64.b64encode(b'xy' + b + b'z').decode()
    yield base64.encodebytes(b).decode()
    yield base64.urlsafe_b64encode(b).decode().rstrip('=')
    yield urllib.parse.quote(v)
    yield urllib.parse.quote_plus(v)
    yield json.dumps(v)
    yield json.dumps(v, ensure_ascii=False)
    yield repr(v)
    yield ascii(v)
    yield repr(b)
    yield b.hex()
    yield b.hex().upper()
    yield html.escape(v)
all = [e for n in names for e in encodings(os.environ[n])]
text = '\n'.join(all)
`

func TestSecrets_CanariesGetNowhere(t *testing.T) {
	sing(t, fmt.Sprintf("executor: {slots: 2, local: {dir: boxes, python: %s}}\n", testenv.Python(t)), "")
}

func TestE2E_CanariesGetNowhere(t *testing.T) {
	c := onCluster(t)
	object, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "canaries"}, "stringData": canaries(),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.apply(string(object))
	sing(t, c.executor(2), "canaries")
}

// sing runs reports that write every canary in every encoding through every channel, and
// looks for them in all that an agent leaves. Object is a Secret that holds them as well; ""
// for none.
func sing(t *testing.T, executor, object string) {
	reports := map[string]string{
		"channels": shows + `
import time
from IPython.display import HTML, JSON, Markdown, display, update_display, clear_output
try:
    import ipywidgets
except ImportError:
    ipywidgets = None
print(text); print(text, file=sys.stderr)
for piece in all:
    sys.stdout.write(piece[:5]); sys.stdout.flush(); sys.stderr.write('.'); sys.stderr.flush()
    sys.stdout.write(piece[5:] + '\n'); sys.stdout.flush()
display(HTML('<p>' + text + '</p>')); display(JSON({'all': all, 'in': {k: 1 for k in all}})); display(Markdown(text))
display({'text/plain': text, 'application/x-own': {'deep': [all, {'n': text}]}}, raw=True, metadata={'note': text, text: 1})
display('soon', display_id='d'); update_display(text, display_id='d')
for number in ('CANARY_01',):
    display({'application/json': int(os.environ[number])}, raw=True)
if ipywidgets:
    widget = ipywidgets.HTML(value=text, description=all[0]); display(widget)
    out = ipywidgets.Output(); display(out)
    with out:
        print(text); display(HTML(text))
os.write(1, text.encode()); os.write(2, text.encode())
for stream in (sys.stdout, sys.stderr):
    os.write(getattr(stream, '_original_stdstream_copy', stream.fileno()), text.encode() + b'\n')
subprocess.run(['sh', '-c', 'env; env >&2'])
logging.warning(text); warnings.warn(text)
try:
    raise KeyError(text)
except KeyError:
    import traceback; traceback.print_exc()
open(os.environ['CANARY_00'], 'w').write(text)
# %%
text
# %%
clear_output(wait=True); print(text)
# %%
json.dump({"title": "all is well"}, open("output.json", "w"))
`,
		"raises": `
%xmode Verbose
# %%
` + shows + `
def connect(secret, everything):
    raise ConnectionError('cannot connect with ' + everything)
connect(os.environ['CANARY_04'], text)  # output.json
`,
		"allowed": shows + `
raise ValueError(text)
# %%
json.dump({"title": "never"}, open("output.json", "w"))
`,
		"output": shows + `json.dump({"title": all}, open("output.json", "w"))`,
		"file": shows + `
json.dump({"title": "well"}, open("output.json", "w"))
open("table.csv", "w").write(text)
`,
		"zip": shows + `
import zipfile
json.dump({"title": "well"}, open("output.json", "w"))
with zipfile.ZipFile("book.xlsx", "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("xl/sharedStrings.xml", "<si><t>" + html.escape(os.environ['CANARY_12']) + "</t></si>")
`,
		"name": shows + `
json.dump({"title": "well"}, open("output.json", "w"))
open(os.environ['CANARY_02'] + ".csv", "w").write("x")
`,
	}
	want := map[string]runner.Code{
		"channels": "", "raises": runner.CellError, "allowed": runner.CellError, "output": runner.SecretLeaked, "file": runner.SecretLeaked,
		"zip": runner.SecretLeaked, "name": runner.SecretLeaked,
	}
	dir := t.TempDir()
	secrets := canaries()
	names := make([]string, 0, len(secrets))
	configured := map[string]any{}
	for name, value := range secrets {
		names = append(names, name)
		granted := map[string]any{"from": "env", "name": "OF_" + name, "reports": []string{"*"}}
		if object != "" && len(names)%3 == 0 {
			granted = map[string]any{"from": "kubernetes", "secret": object, "key": name, "reports": []string{"*"}}
		} else if len(names)%2 == 0 {
			granted = map[string]any{"from": "file", "path": "secret-" + name, "reports": []string{"*"}}
			writeAll(t, filepath.Join(dir, "secret-"+name), []byte(value+"\n"))
		} else {
			t.Setenv("OF_"+name, value)
		}
		configured[name] = granted
	}
	work := filepath.Join(dir, "work")
	for name, source := range reports {
		notebook, err := notebookOf([]byte(source))
		if err != nil {
			t.Fatal(err)
		}
		config, err := json.Marshal(map[string]any{
			"schedule": "0 0 * * *", "window": "yesterday", "assets": []string{"a"}, "publish": []string{"*.csv", "*.xlsx"}, "secrets": names,
		})
		if err != nil {
			t.Fatal(err)
		}
		writeAll(t, filepath.Join(work, name, "report.ipynb"), notebook)
		writeAll(t, filepath.Join(work, name, "config.json"), config)
		writeAll(t, filepath.Join(work, name, "template.html"), []byte(plainTemplate))
	}
	mergeFolder(t, work, time.Now().Add(-25*time.Hour), filepath.Join(dir, "reports.git"))
	settings, err := yaml.Marshal(map[string]any{
		"repository": map[string]any{"url": "reports.git"}, "store": map[string]any{"dir": "store"}, "state": "state",
		"secrets": configured, "log": map[string]any{"level": "debug"},
	})
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, filepath.Join(dir, "nbpress.yaml"), append(settings, executor...))
	status, stdout, stderr := command(t, "agent", "--config", filepath.Join(dir, "nbpress.yaml"), "--once")
	if status != 0 {
		t.Fatalf("exit status %d\n%.4000s", status, stderr)
	}

	seen := map[string][]byte{"the agent's log": []byte(stdout + stderr)}
	git := exec.Command("git", "-C", filepath.Join(dir, "reports.git"), "cat-file", "--batch-all-objects", "--batch", "--unordered")
	if seen["Git"], err = git.Output(); err != nil {
		t.Fatal(err)
	}
	executed, most, marked := 0, 0, []byte(nil) // marked: the notebook with the most outputs
	for _, folder := range []string{"store", "state"} {
		for path, data := range bytesBelow(t, filepath.Join(dir, folder)) {
			seen[filepath.Join(folder, path)] = data
			if strings.HasSuffix(path, "executed.ipynb") {
				executed++
				if len(data) > most {
					most = len(data)
					marked = data
				}
			}
			if strings.HasSuffix(path, "output.json") && !bytes.Contains(data, []byte("well")) {
				t.Errorf("%s is kept: %.200s", path, data)
			}
			if strings.HasSuffix(path, "manifest.yaml") {
				m, err := runner.Decode[runner.Manifest](data, runner.KindRun)
				if err != nil {
					t.Fatal(err)
				}
				code := runner.Code("")
				if m.Error != nil {
					code = m.Error.Code
				}
				if code != want[m.Report] {
					t.Errorf("%s ended as %q, want %q: %+v", m.Report, code, want[m.Report], m.Error)
				}
			}
		}
	}
	if executed != len(reports) {
		t.Errorf("%d executed notebooks are kept, want %d", executed, len(reports))
	}
	for name := range secrets { // so that the canaries sang at all
		if n := bytes.Count(marked, []byte("[secret "+name+"]")); n < 100 {
			t.Errorf("%d marks stand for %s, want some from each channel", n, name)
		}
	}
	looked, hits := 0, 0
	for name, value := range secrets {
		for encoding, form := range encodings(value) {
			for place, data := range seen {
				if looked++; bytes.Contains(data, []byte(form)) {
					hits++
					t.Errorf("%s, %s, stands in %s", name, encoding, place)
				}
			}
		}
	}
	t.Logf("%d secrets in %d places: %d searches, %d hits", len(secrets), len(seen), looked, hits)
}

func writeAll(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// bytesBelow reads all files below a folder.
func bytesBelow(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, _ := filepath.Rel(folder, path)
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
