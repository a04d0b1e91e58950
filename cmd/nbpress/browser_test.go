package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nbpress/internal/testenv"
	"nbpress/internal/testenv/browser"
)

// startPreview runs `nbpress preview` on a bundle until the test ends, and returns its
// address.
func startPreview(t testing.TB, bundle string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, written := io.Pipe()
	ended := make(chan int, 1)
	var stderr strings.Builder
	go func() {
		status := run(ctx, []string{"preview", bundle, "--port", "0", "--from", "2026-11-16", "--to", "2026-11-22", "--python", testenv.Python(t)},
			streams{in: strings.NewReader(""), out: written, err: &stderr})
		_ = written.Close()
		ended <- status
	}()
	t.Cleanup(func() {
		cancel()
		if status := <-ended; status != exitDone {
			t.Errorf("preview ended with status %d\n%s", status, stderr.String())
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("preview: %v\n%s", err, stderr.String())
	}
	_, rest, _ := strings.Cut(line, "http://")
	address, _, _ := strings.Cut(rest, " ")
	return "http://" + address
}

// previewTab is a browser's tab with a preview in it.
type previewTab struct{ browser.Tab }

// await waits until the frame shows a page, a trouble, or that something runs, and a text.
func (b previewTab) await(what, text string) {
	b.Helper()
	end := time.Now().Add(3 * time.Minute)
	shown, got := "", ""
	for time.Now().Before(end) {
		shown, got = b.Eval(`document.body.dataset.shown`), b.FrameText()
		if shown == what && strings.Contains(got, text) {
			return
		}
		<-time.After(20 * time.Millisecond) // what a frame shows tells nobody
	}
	b.Fatalf("the frame shows %q:\n%s\nwant %s with %q", shown, got, what, text)
}

// choose chooses in the toolbar.
func (b previewTab) choose(id, value string) {
	b.Helper()
	b.Eval(fmt.Sprintf(`(() => { const s = document.getElementById(%q); s.value = %q; s.dispatchEvent(new Event("change")); })()`, id, value))
}

// rewrite replaces a text in a file, as an editor does when it saves.
func rewrite(t testing.TB, file, old, with string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s holds no %q", file, old)
	}
	if err := writeWhole(file, []byte(strings.Replace(string(data), old, with, 1))); err != nil {
		t.Fatal(err)
	}
}

func TestPreview_FollowsItsAuthorInABrowser(t *testing.T) {
	bundle := makeNew(t)
	b := previewTab{browser.New(t)}
	b.Open(startPreview(t, bundle))
	template, notebook := filepath.Join(bundle, "template.html"), filepath.Join(bundle, "report.ipynb")
	b.await("page", "1,846.1 kWh")

	// A saved template shows at once; a broken one says where, and recovers.
	saved := time.Now()
	rewrite(t, template, "<h1>{{ title }}</h1>", "<h1>{{ title }} of {{ asset }}</h1>")
	b.await("page", "Weekly of plant-1")
	t.Logf("from save to a page that was looked at: %v", time.Since(saved).Round(time.Millisecond))
	rewrite(t, template, "of {{ asset }}", "of {{ asset | nofilter }}")
	b.await("trouble", "template_error: template.html:23: No filter named 'nofilter'.")
	if text := b.FrameText(); !strings.Contains(text, ">  23    <h1>{{ title }} of {{ asset | nofilter }}</h1>") {
		t.Errorf("the line is not shown:\n%s", text)
	}
	rewrite(t, template, "of {{ asset | nofilter }}", "of {{ asset }} {% if %}")
	b.await("trouble", `template.html:23:37: "if" is not closed; add {% endif %}`)
	rewrite(t, template, "of {{ asset }} {% if %}", "by day, {{ titel }}")
	b.await("page", "Weekly by day")
	warnings := b.Eval(`document.getElementById("warnings").textContent`)
	if !strings.Contains(warnings, "1 warning") || !strings.Contains(warnings, "template.html:23: 'titel' is undefined") {
		t.Errorf("the toolbar warns of %q", warnings)
	}

	// Another asset, another language, a catalog that comes and changes.
	b.choose("asset", "plant-2")
	b.await("page", "738.5 kWh")
	b.choose("language", "pseudo")
	b.await("page", "[Åššéţ··]")
	rewrite(t, filepath.Join(bundle, "config.json"), `"languages": ["en"]`, `"languages": ["en", "ca"]`)
	b.await("trouble", `language "ca" has no catalog`)
	if err := os.MkdirAll(filepath.Join(bundle, "languages", "ca", "LC_MESSAGES"), 0o755); err != nil {
		t.Fatal(err)
	}
	po := filepath.Join(bundle, "languages", "ca", "LC_MESSAGES", "messages.po")
	if err := os.WriteFile(po, []byte("msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\\n\"\n\nmsgid \"Asset\"\nmsgstr \"Actiu\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.await("page", "[Åššéţ··]")
	b.choose("language", "ca")
	b.await("page", "Actiu")
	rewrite(t, po, "Actiu", "Planta")
	b.await("page", "Planta")

	// A changed notebook runs again; outputs that Jupyter stores in it change nothing.
	rewrite(t, notebook, `"outputs": []`, `"outputs": [{"output_type": "stream", "name": "stdout", "text": ["x"]}]`)
	b.await("page", "738.5 kWh")
	rewrite(t, notebook, "(300 + 40", "(1300 + 40")
	b.await("page", "3,218.5 kWh")
	rewrite(t, notebook, "(1300 + 40", "(1300 + 40 + nothing")
	b.await("trouble", "NameError: name 'nothing' is not defined")
	if text := b.FrameText(); !strings.Contains(text, "cell 5 of the notebook, In [3]") || !strings.Contains(text, "(1300 + 40 + nothing") {
		t.Errorf("the cell is not shown:\n%s", text)
	}
	rewrite(t, notebook, "(1300 + 40 + nothing", "(300 + 40")
	b.await("page", "738.5 kWh")

	// What Jupyter writes at home takes the place of what was written here.
	if err := os.WriteFile(filepath.Join(bundle, "output.json"), []byte(`{"title": "From Jupyter", "asset": "x", "total": 1, "peak": 1, "days": []}`), 0o644); err != nil {
		t.Fatal(err)
	}
	b.await("page", "No data for this period.")
	b.Eval(`document.getElementById("again").click()`)
	b.await("page", "738.5 kWh")
}

// A report's scripts reach neither the toolbar nor the server, also if its author allows
// them.
func TestPreview_KeepsAReportsScriptsApart(t *testing.T) {
	bundle := makeNew(t)
	rewrite(t, filepath.Join(bundle, "config.json"), `"languages"`, `"content_security": {"scripts": "inline", "connect": ["http://localhost:1"]}, "languages"`)
	rewrite(t, filepath.Join(bundle, "template.html"), "<body>", `<body><p id="log">log:</p><script>
		const log = text => document.getElementById("log").append(" " + text);
		try { parent.document.title = "owned"; log("title"); } catch (e) { log("no-title"); }
		try { localStorage.x = 1; log("storage"); } catch (e) { log("no-storage"); }
		fetch("/again/plant-1/en", {method: "POST"}).then(r => log("again-" + r.status), () => log("no-again"));
		fetch("/about/plant-1/en").then(r => r.text()).then(() => log("about"), () => log("no-about"));
	</script>`)
	b := previewTab{browser.New(t)}
	b.Open(startPreview(t, bundle))
	b.await("page", "no-again")
	b.await("page", "no-about")
	if text := b.FrameText(); !strings.Contains(text, "no-title no-storage") {
		t.Errorf("the page's scripts say %s", text)
	}
	title := b.Eval(`document.title`)
	if title != "Preview: Weekly" {
		t.Errorf("the toolbar's title is %q", title)
	}
}
