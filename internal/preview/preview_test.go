package preview_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nbpress/internal/preview"
)

// pages is a report of fixed pages, by language, that counts how often it is to run again.
type pages struct {
	byLanguage map[string]preview.Page
	again      chan string
}

func (p pages) Choices() preview.Choices {
	return preview.Choices{Title: "Energy <&>", Assets: []preview.Asset{{ID: "plant-1", Name: "One", Languages: []string{"en"}}}}
}

func (p pages) Page(_ context.Context, _, language string) preview.Page {
	return p.byLanguage[language]
}

func (p pages) Again(asset, language string) { p.again <- asset + " " + language }

// serve starts a preview of these pages.
func serve(t *testing.T, byLanguage map[string]preview.Page) (*httptest.Server, *preview.Server, pages) {
	t.Helper()
	report := pages{byLanguage, make(chan string, 10)}
	server := preview.New(report)
	listening := httptest.NewUnstartedServer(nil)
	listening.Config.Handler = server.Handler(listening.Listener.Addr())
	listening.Start()
	t.Cleanup(listening.Close)
	return listening, server, report
}

// ask sends a request, as change makes it, and returns the answer with its body.
func ask(t *testing.T, method, address string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(request)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func TestServer_ShowsPagesWithTheirFilesInAnOriginOfTheirOwn(t *testing.T) {
	server, _, _ := serve(t, map[string]preview.Page{"en": {
		HTML: []byte("<h1>Page</h1><a href=./rows.csv>"), Files: map[string][]byte{"rows.csv": []byte("a,b\n")}, Warnings: []string{"careful"},
	}})
	if answer, _ := ask(t, "GET", server.URL+"/page/plant-1/en/rows.csv", nil); answer.StatusCode != http.StatusNotFound {
		t.Errorf("a file of a page that was not made: %s", answer.Status)
	}
	answer, body := ask(t, "GET", server.URL+"/page/plant-1/en/index.html", nil)
	if body != "<h1>Page</h1><a href=./rows.csv>" {
		t.Errorf("the page is %q", body)
	}
	policy := answer.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "sandbox ") || strings.Contains(policy, "allow-same-origin") {
		t.Errorf("the page comes with the policy %q", policy)
	}
	if _, body := ask(t, "GET", server.URL+"/page/plant-1/en/rows.csv", nil); body != "a,b\n" {
		t.Errorf("the page's file is %q", body)
	}
	if _, body := ask(t, "GET", server.URL+"/about/plant-1/en", nil); body != `{"running":"","trouble":false,"warnings":["careful"]}`+"\n" {
		t.Errorf("of the page it is said %s", body)
	}
	if _, body := ask(t, "GET", server.URL+"/", nil); !strings.Contains(body, "Preview: Energy &lt;&amp;&gt;") {
		t.Errorf("the front page has no title:\n%s", body)
	}
}

func TestServer_ShowsTroubleAndWhatRunsInPlaceOfAPage(t *testing.T) {
	server, _, _ := serve(t, map[string]preview.Page{
		"en": {Trouble: &preview.Trouble{What: "<script>alert(1)</script>", Where: "> 3  {{ x }}", Do: "Mend it."}, HTML: []byte("never")},
		"ca": {Running: "cell 2 of 9", HTML: []byte("never")},
	})
	for language, want := range map[string]string{"en": "&lt;script&gt;alert(1)&lt;/script&gt;", "ca": "cell 2 of 9"} {
		if _, body := ask(t, "GET", server.URL+"/page/plant-1/"+language+"/index.html", nil); !strings.Contains(body, want) || strings.Contains(body, "never") {
			t.Errorf("%s: no %q in\n%s", language, want, body)
		}
	}
}

func TestServer_AnswersToThisMachineAlone(t *testing.T) {
	server, _, report := serve(t, map[string]preview.Page{"en": {HTML: []byte("page")}})
	port := server.URL[strings.LastIndex(server.URL, ":")+1:]
	for host, want := range map[string]int{
		"localhost:" + port: 200, "127.0.0.1:" + port: 200, "[::1]:" + port: 200,
		"evil.example": 421, "evil.example:" + port: 421, "localhost": 421, "localhost.evil.example:" + port: 421, "127.0.0.1:1": 421,
	} {
		answer, _ := ask(t, "GET", server.URL+"/page/plant-1/en/index.html", func(r *http.Request) { r.Host = host })
		if answer.StatusCode != want {
			t.Errorf("for the host %s: %s", host, answer.Status)
		}
	}
	// What changes something is for the toolbar's own origin: not for another site, nor for
	// the page, whose origin is null.
	for origin, want := range map[string]int{server.URL: 204, "": 204, "https://evil.example": 403, "null": 403} {
		answer, _ := ask(t, "POST", server.URL+"/again/plant-1/en", func(r *http.Request) {
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
		})
		if answer.StatusCode != want {
			t.Errorf("from the origin %q: %s", origin, answer.Status)
		}
	}
	// Another site may link to the preview, and has the browser ask for nothing else. The page
	// in the frame is another site: it sees the files beside it.
	for path, want := range map[string]int{"/": 200, "/page/plant-1/en/index.html": 403, "/about/plant-1/en": 403, "/events": 403, "/page/plant-1/en/a.svg": 404} {
		answer, _ := ask(t, "GET", server.URL+path, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
		if answer.StatusCode != want {
			t.Errorf("%s for another site: %s", path, answer.Status)
		}
	}
	if len(report.again) != 2 || <-report.again != "plant-1 en" {
		t.Errorf("run again %d more times", len(report.again))
	}
}

func TestServer_TellsEveryToolbarOfChanges(t *testing.T) {
	server, told, _ := serve(t, nil)
	answer, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	next := func() (state struct {
		Version int
		Status  string
		Choices preview.Choices
	}) {
		t.Helper()
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &state); err != nil {
					t.Fatal(err)
				}
				return state
			}
		}
		t.Fatal("the events ended")
		return state
	}
	first := next()
	told.Status("cell 1 of 2")
	if got := next(); got.Status != "cell 1 of 2" || got.Version != first.Version {
		t.Errorf("a status is told as %+v", got)
	}
	told.Changed()
	if got := next(); got.Version != first.Version+1 || got.Choices.Title != "Energy <&>" || got.Status != "cell 1 of 2" {
		t.Errorf("a change is told as %+v", got)
	}
}

// watched calls a function for each change below a folder, until the test ends.
func watched(t *testing.T, paths ...string) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	changes, ended := make(chan struct{}, 1000), make(chan error, 1)
	go func() { ended <- preview.Watch(ctx, paths, func() { changes <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	// It is not told when the watch has begun: changes are made until one is seen.
	for n := 0; ; n++ {
		write(t, filepath.Join(paths[0], "begin"), strings.Repeat("x", n))
		select {
		case <-changes:
			drain(changes)
			return changes
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// drain waits until nothing has changed for a while.
func drain(changes <-chan struct{}) {
	for {
		select {
		case <-changes:
		case <-time.After(200 * time.Millisecond):
			return
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestWatch_SeesWhatAuthorsDoToFiles(t *testing.T) {
	folder, outside := t.TempDir(), filepath.Join(t.TempDir(), "plants.csv")
	template := filepath.Join(folder, "template.html")
	write(t, template, "a")
	write(t, outside, "a")
	changes := watched(t, folder, outside)
	steps := []struct {
		what string
		do   func()
		seen bool
	}{
		{"a file written", func() { write(t, template, "b") }, true},
		{"a file replaced, as editors save", func() {
			write(t, template+".new", "c")
			if err := os.Rename(template+".new", template); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"a folder made", func() { write(t, filepath.Join(folder, "languages", "ca", "messages.po"), "x") }, true},
		{"a file in a folder that was made", func() { write(t, filepath.Join(folder, "languages", "ca", "messages.po"), "y") }, true},
		{"a file beside the folder", func() { write(t, outside, "b") }, true},
		{"a file removed", func() {
			if err := os.Remove(template); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"what Jupyter and Git write", func() {
			write(t, filepath.Join(folder, ".ipynb_checkpoints", "report.ipynb"), "x")
			write(t, filepath.Join(folder, ".git", "index"), "x")
			write(t, filepath.Join(folder, "__pycache__", "x.pyc"), "x")
			write(t, filepath.Join(folder, "nbpress-out", "index.html"), "x")
			write(t, filepath.Join(folder, "template.html~"), "x")
		}, false},
	}
	for _, step := range steps {
		step.do()
		select {
		case <-changes:
			if !step.seen {
				t.Errorf("%s: told of a change", step.what)
			}
		case <-time.After(map[bool]time.Duration{true: time.Minute, false: 300 * time.Millisecond}[step.seen]):
			if step.seen {
				t.Errorf("%s: told of no change", step.what)
			}
		}
		drain(changes)
	}
}

func TestWatch_TakesChangesThatComeTogetherForFew(t *testing.T) {
	folder := t.TempDir()
	changes := watched(t, folder)
	for n := range 200 {
		write(t, filepath.Join(folder, "file"+strconv.Itoa(n)), "x")
	}
	<-changes
	more := 0
	for quiet := false; !quiet; {
		select {
		case <-changes:
			more++
		case <-time.After(300 * time.Millisecond):
			quiet = true
		}
	}
	if more > 20 {
		t.Errorf("told %d times of 200 files written at once", 1+more)
	}
}

func TestWatch_FollowsAFolderThatGoesAndComesBack(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "weekly")
	write(t, filepath.Join(folder, "template.html"), "a")
	changes := watched(t, folder)
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	<-changes
	drain(changes)
	write(t, filepath.Join(folder, "template.html"), "b")
	<-changes
	drain(changes)
	write(t, filepath.Join(folder, "template.html"), "c")
	select {
	case <-changes:
	case <-time.After(time.Minute):
		t.Error("what is written into the folder that came back is not seen")
	}
	drain(changes)
	write(t, folder+"-beside", "x")
	select {
	case <-changes:
		t.Error("told of a file beside the folder")
	case <-time.After(300 * time.Millisecond):
	}
}

func TestWatch_RefusesWhatIsNotThere(t *testing.T) {
	err := preview.Watch(t.Context(), []string{filepath.Join(t.TempDir(), "gone")}, func() {})
	if err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("got %v", err)
	}
}
