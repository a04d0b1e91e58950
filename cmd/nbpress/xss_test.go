package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nbpress/internal/testenv"
	"nbpress/internal/testenv/browser"
	"nbpress/runner"
	"nbpress/runner/local"
	"nbpress/runner/report"
)

// TestPages_RunNothingOfTheirData puts each of 238 payloads into everything that the
// example templates show, and looks in Chromium whether one of them runs: in the page as
// it is published, and as it is rendered, without a policy.
func TestPages_RunNothingOfTheirData(t *testing.T) {
	t.Parallel()
	payloads := xssPayloads(t)
	web := newXSSWeb(t)
	for name, shown := range map[string]int{"asset-report": 9, "data-quality": 15, "weekly-energy": 12} {
		bundle, outputs, render := executed(t, filepath.Join("..", "..", "reports-example", name))
		slots := slotsOf(t, outputs, render)
		t.Logf("%s shows text from %d places: %s", name, len(slots), strings.Join(slices.Sorted(maps.Keys(slots)), ", "))
		if len(slots) < shown {
			t.Errorf("%s: only %d places", name, len(slots))
		}
		byLanguage := map[string]any{}
		for i, payload := range payloads {
			data := outputs()
			for _, set := range slots {
				set(data, payload)
			}
			byLanguage[pageName(i)] = data
		}
		pages := render(map[string]any{"by_language": byLanguage}, slices.Sorted(maps.Keys(byLanguage))...)
		for i, payload := range payloads {
			page := pages[pageName(i)]
			if !bytes.Contains(page, []byte(html.EscapeString(payload))) {
				t.Fatalf("%s does not show %s", name, payload)
			}
			web.pages["/bare/"+name+"/"+pageName(i)] = page
			web.pages["/published/"+name+"/"+pageName(i)] = runner.Secured(page, bundle)
		}
	}
	for i, payload := range payloads {
		// What holds nothing back: in a script, an attribute, a link, and as text.
		unsafe := fmt.Sprintf(`<!DOCTYPE html><title>x</title><body><p title="%s">x</p><a href="%s">x</a><p>%[1]s</p><script>var x = '%[1]s'</script>`,
			payload, html.EscapeString(payload))
		web.pages["/unsafe/"+pageName(i)] = []byte(unsafe)
		web.pages["/published/unsafe/"+pageName(i)] = runner.Secured([]byte(unsafe), &report.Bundle{})
	}
	ran, unseen := web.visit(t, func(path string) bool { return !strings.HasPrefix(path, "/unsafe/") }, 3*time.Minute)
	for address := range ran {
		t.Errorf("%s ran: %s", address, payloads[pageIndex(address)])
	}
	if len(unseen) > 0 {
		t.Errorf("nobody looked at %q", unseen)
	}
	// So that the silence means something. Some of these go elsewhere, never to be seen.
	unsafe, _ := web.visit(t, func(path string) bool { return strings.HasPrefix(path, "/unsafe/") }, 6*time.Second)
	t.Logf("%d of %d payloads run where nothing holds them", len(unsafe), len(payloads))
	if len(payloads) < 200 || len(unsafe) < 150 {
		t.Errorf("only %d of %d payloads would run at all", len(unsafe), len(payloads))
	}
}

func xssPayloads(t *testing.T) (payloads []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "xss.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &payloads); err != nil {
		t.Fatal(err)
	}
	return payloads
}

func pageName(i int) string { return fmt.Sprintf("p%03d", i) }

func pageIndex(address string) (i int) {
	_, _ = fmt.Sscanf(address[strings.LastIndex(address, "/")+1:], "p%d", &i)
	return i
}

// executed runs an example's notebook for its first asset. It returns what the notebook
// wrote, anew with each call and with lists of one item, and what renders such data in several languages: nil where
// the template cannot.
func executed(t *testing.T, dir string) (*report.Bundle, func() map[string]any, func(data map[string]any, languages ...string) map[string][]byte) {
	t.Helper()
	bundle, err := loadBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	exec, err := local.New(t.Context(), local.Options{Python: testenv.Python(t), Init: selfInit(), Log: consoleLog(streams{out: t.Output(), err: t.Output()})})
	if err != nil {
		t.Fatal(err)
	}
	job := runner.Job{Report: bundle.Name, Bundle: bundle, Asset: bundle.Config.Assets[0], Languages: []string{"en"}, Generation: 1, Attempt: 1}
	job.ScheduledAt = time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	job.Run = runner.NewRunID(bundle.Name, job.Asset.ID, job.ScheduledAt)
	if job.Window, err = (runFlags{from: "2026-11-16", to: "2026-11-22"}).days(bundle, job.ScheduledAt); err != nil {
		t.Fatal(err)
	}
	outcome, err := runner.Execute(t.Context(), exec, job)
	if err != nil || outcome.Failure != nil {
		t.Fatalf("%s: %v, %v", dir, err, outcome.Failure)
	}
	key := ""
	if bundle.ExecutePerLanguage {
		key = "en"
	}
	outputs := func() (data map[string]any) {
		if err := json.Unmarshal(outcome.Outputs[key], &data); err != nil {
			t.Fatal(err)
		}
		for name, value := range data {
			if list, ok := value.([]any); ok && len(list) > 1 {
				data[name] = list[:1]
			}
		}
		return data
	}
	jinja2 := runner.NewWarmRenderer(runner.SandboxRenderer{Executor: exec})
	t.Cleanup(jinja2.Close)
	free := *bundle // one rendering for all languages, whatever the notebook needs
	free.ExecutePerLanguage = false
	return bundle, outputs, func(data map[string]any, languages ...string) map[string][]byte {
		written, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		job := job
		job.Bundle, job.Languages = &free, languages
		outcome, err := runner.Render(t.Context(), jinja2, job, runner.Outputs{"": written})
		if err != nil {
			t.Fatal(err)
		}
		if outcome.Failure != nil && outcome.Failure.Code != runner.TemplateError {
			t.Fatal(outcome.Failure)
		}
		return outcome.Pages
	}
}

// slotsOf returns what sets each place in the data whose text the page shows.
func slotsOf(t *testing.T, outputs func() map[string]any, render func(map[string]any, ...string) map[string][]byte) map[string]func(data map[string]any, text string) {
	t.Helper()
	const probe = "a<probe>b"
	slots := map[string]func(map[string]any, string){}
	for name, set := range placesIn(outputs(), nil) {
		data := outputs()
		set(data, probe)
		if page := render(data, "en")["en"]; strings.Contains(string(page), "a&lt;probe&gt;b") {
			slots[name] = set
		} else if strings.Contains(string(page), probe) {
			t.Errorf("%s is shown as markup", name)
		}
	}
	return slots
}

// placesIn returns what sets each value of a JSON text, of lists only the first, what
// adds a key to each object, and what names the page's language.
func placesIn(value any, path []any) map[string]func(data map[string]any, text string) {
	places := map[string]func(map[string]any, string){}
	within := func(data map[string]any, path []any) (at any) {
		at = data
		for _, step := range path {
			switch step := step.(type) {
			case string:
				at = at.(map[string]any)[step]
			case int:
				at = at.([]any)[step]
			}
		}
		return at
	}
	name := strings.Trim(strings.ReplaceAll(fmt.Sprint(path), " ", "."), "[]")
	switch value := value.(type) {
	case map[string]any:
		places["key of "+name] = func(data map[string]any, text string) { within(data, path).(map[string]any)[text] = text }
		for key, inner := range value {
			maps.Copy(places, placesIn(inner, append(slices.Clone(path), key)))
		}
	case []any:
		if len(value) > 0 {
			maps.Copy(places, placesIn(value[0], append(slices.Clone(path), 0)))
		}
	default:
		last := path[len(path)-1]
		places[name] = func(data map[string]any, text string) {
			switch holder := within(data, path[:len(path)-1]).(type) {
			case map[string]any:
				holder[last.(string)] = text
			case []any:
				holder[last.(int)] = text
			}
		}
	}
	if len(path) == 0 {
		places["language"] = func(data map[string]any, text string) { data["language"] = text }
	}
	return places
}

// xssWeb serves pages and notes which of them ran something.
type xssWeb struct {
	server *httptest.Server
	pages  map[string][]byte

	mu  sync.Mutex
	ran map[string]bool // by their paths
}

func newXSSWeb(t *testing.T) *xssWeb {
	w := &xssWeb{pages: map[string][]byte{}, ran: map[string]bool{}}
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		page, known := w.pages[r.URL.Path]
		switch {
		case r.URL.Path == "/all":
			page = []byte(`<!DOCTYPE html><link rel="icon" href="data:,"><body>`)
		case !known:
			// A page fetched something: its address tells which.
			w.mu.Lock()
			w.ran[strings.TrimPrefix(r.Referer(), w.server.URL)] = true
			w.mu.Unlock()
			http.NotFound(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		rw.Header().Set("Referrer-Policy", "unsafe-url")
		_, _ = rw.Write(page)
	}))
	t.Cleanup(w.server.Close)
	return w
}

// visit opens pages, a few at a time, and returns which of them ran something, and which
// had not loaded within the limit.
func (w *xssWeb) visit(t *testing.T, which func(path string) bool, limit time.Duration) (ran map[string]bool, unseen []string) {
	t.Helper()
	w.mu.Lock()
	clear(w.ran)
	w.mu.Unlock()
	tab := browser.New(t)
	tab.OnAlert(func(address string) {
		w.mu.Lock()
		w.ran[strings.TrimPrefix(address, w.server.URL)] = true
		w.mu.Unlock()
	})
	tab.Open(w.server.URL + "/all")
	paths := slices.DeleteFunc(slices.Sorted(maps.Keys(w.pages)), func(path string) bool { return !which(path) })
	for chunk := range slices.Chunk(paths, 40) {
		list, err := json.Marshal(chunk)
		if err != nil {
			t.Fatal(err)
		}
		left := tab.Eval(fmt.Sprintf(`new Promise(done => {
			const frames = new Map();
			const end = () => {
				removeEventListener("message", poked);
				for (const f of frames.keys()) f.remove();
				done([...frames.values()].filter(path => path));
			};
			const poked = e => {
				for (const f of frames.keys()) if (f.contentWindow === e.source) frames.set(f, "");
				if ([...frames.values()].every(path => !path)) end();
			};
			addEventListener("message", poked);
			setTimeout(end, %d);
			for (const path of %s) {
				const f = document.createElement("iframe");
				frames.set(f, path);
				f.src = path;
				document.body.append(f);
			}
		})`, limit.Milliseconds(), list))
		unseen = append(unseen, strings.FieldsFunc(left, func(r rune) bool { return r == ',' })...)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.ran), unseen
}
