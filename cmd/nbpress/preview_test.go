package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPreview_BeginsWithABrokenBundleAndRecovers(t *testing.T) {
	bundle := makeNew(t)
	config := filepath.Join(bundle, "config.json")
	rewrite(t, config, `"languages"`, `"langauges"`)
	p := openPreview(t, bundle)
	if page := p.page("-/-"); !strings.Contains(page, "unknown key &#34;langauges&#34;") || !strings.Contains(page, "did you mean") {
		t.Errorf("the page is\n%s", page)
	}
	rewrite(t, config, `"langauges"`, `"languages"`)
	p.await("plant-1/en", "1,846.1 kWh")
}

// The notebook runs once for an asset, as `nbpress run` has it; its files stand beside the
// page in each of the asset's languages, and only these are offered.
func TestPreview_ShowsWhatRunWrites(t *testing.T) {
	bundle := makeBundle(t, map[string]string{
		"config.json": `{"schedule": "0 6 * * *", "window": "yesterday", "languages": ["en", "ca"], "execute": "once", "publish": ["*.csv"],
			"assets": ["a", {"id": "b", "languages": ["ca"]}]}`,
		"report.py": `#Environment
asset, language = "$ASSET_ID", "$LANGUAGE"
import json
open("rows.csv", "w").write("a,b")
json.dump({"asset": asset, "executed_in": language, "n": open("data.xml").read()}, open("output.json", "w"))`,
		"template.html": `{{ language }}: {{ asset }} {{ executed_in }} {{ n }} {{ _("Sum") }}`,
		"data.xml":      "1",
		"languages/ca/LC_MESSAGES/messages.po": `msgid "Sum"
msgstr "Suma"`,
	})
	p := openPreview(t, bundle)
	p.await("a/en", "en: a en 1 Sum")
	p.await("a/ca", "ca: a en 1 Suma")
	p.await("b/ca", "ca: b ca 1 Suma")
	for _, page := range []string{"a/en", "a/ca", "b/ca"} {
		if got := get(t, p.address+"/page/"+page+"/rows.csv"); got != "a,b" {
			t.Errorf("beside %s: %q", page, got)
		}
	}
	if page := p.page("b/en"); !strings.Contains(page, "no language &#34;en&#34;") {
		t.Errorf("of a language that the asset does not have:\n%s", page)
	}
	if err := os.WriteFile(filepath.Join(bundle, "data.xml"), []byte("2"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.await("a/en", "en: a en 2 Sum") // a file that the notebook reads, whatever its name
}

func TestPreview_TakesAnOutputThatIsWrittenWhileTheNotebookRuns(t *testing.T) {
	bundle := makeBundle(t, map[string]string{
		"report.py":     "import json, time\ntime.sleep(2)\njson.dump({'n': 5}, open('output.json', 'w'))",
		"template.html": "n is {{ n }}",
	})
	p := openPreview(t, bundle)
	p.await("a/en", "cell 1 of 1")
	if err := os.WriteFile(filepath.Join(bundle, "output.json"), []byte(`{"n": 88}`), 0o644); err != nil {
		t.Fatal(err)
	}
	p.await("a/en", "n is 88")
}

// makeNew returns the folder of a report that `nbpress new` made.
func makeNew(t testing.TB) string {
	t.Helper()
	bundle := filepath.Join(t.TempDir(), "weekly")
	if status := run(t.Context(), []string{"new", bundle}, streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}); status != exitDone {
		t.Fatal("nbpress new")
	}
	return bundle
}

// makeBundle writes a bundle's files, with plain ones for what is missing.
func makeBundle(t testing.TB, files map[string]string) string {
	t.Helper()
	bundle := filepath.Join(t.TempDir(), "weekly")
	source := files["report.py"]
	if source == "" {
		source = plainNotebook
	}
	notebook, err := notebookOf([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"config.json": plainConfig, "template.html": plainTemplate, "report.ipynb": string(notebook)}
	for name, content := range files {
		if name != "report.py" {
			all[name] = content
		}
	}
	for name, content := range all {
		path := filepath.Join(bundle, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return bundle
}

// shownPreview is a preview as a program sees it that does what browsers do.
type shownPreview struct {
	testing.TB
	address string
	events  <-chan struct{} // pages may have changed
}

func openPreview(t testing.TB, bundle string) shownPreview {
	t.Helper()
	address := startPreview(t, bundle)
	return shownPreview{t, address, eventsOf(t, address)}
}

// page returns the page of an asset in a language, "asset/language".
func (p shownPreview) page(of string) string { return get(p, p.address+"/page/"+of+"/index.html") }

// await waits until a page holds a text.
func (p shownPreview) await(of, text string) {
	p.Helper()
	page := p.page(of)
	for late := time.After(3 * time.Minute); !strings.Contains(page, text); page = p.page(of) {
		select {
		case <-p.events:
		case <-time.After(100 * time.Millisecond): // what a notebook is about to do is no change of pages
		case <-late:
			p.Fatalf("%s is\n%s\nwithout %s", of, page, text)
		}
	}
}

// BenchmarkPreview is the time from a saved template to the page that shows it, as a
// browser comes to it: told by an event, it asks for the page.
func BenchmarkPreview(b *testing.B) {
	bundle := makeNew(b)
	p := openPreview(b, bundle)
	p.await("plant-1/en", "1,846.1 kWh")
	shown := "<h1>{{ title }}</h1>"
	for n := 0; b.Loop(); n++ {
		heading := fmt.Sprintf("<h1>Save %d</h1>", n)
		rewrite(b, filepath.Join(bundle, "template.html"), shown, heading)
		shown = heading
		for saved := false; !saved; saved = strings.Contains(p.page("plant-1/en"), heading) {
			<-p.events
		}
	}
}

// get returns what a server answers.
func get(t testing.TB, address string) string {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", address, answer.Status, err)
	}
	return string(body)
}

// eventsOf yields whenever a preview tells its toolbar that pages changed.
func eventsOf(t testing.TB, address string) <-chan struct{} {
	t.Helper()
	answer, err := http.Get(address + "/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	events := make(chan struct{}, 1000)
	go func() { // ends with the server, or when the body is closed
		version := ""
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			data, isEvent := strings.CutPrefix(lines.Text(), `data: {"version":`)
			now, _, _ := strings.Cut(data, ",")
			if isEvent && now != version {
				version = now
				events <- struct{}{}
			}
		}
	}()
	return events
}
