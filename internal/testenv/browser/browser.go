// Package browser leads a real Chromium from tests.
package browser

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Tab is a tab of a headless Chromium. Its methods end the test where the browser does not
// do as it is told within a minute.
type Tab struct {
	testing.TB
	life   func() context.Context                       // of the browser
	within func() (context.Context, context.CancelFunc) // for one action
}

// New starts a Chromium, which ends with the test: $NBPRESS_TEST_CHROMIUM, else
// chromium or google-chrome of $PATH.
func New(t testing.TB) Tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)), chromedp.NoSandbox, // as root there is none
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-features", "IsolateSandboxedIframes,site-per-process,Translate,OptimizationHints,MediaRouter"), // FrameText looks into frames
		chromedp.WindowSize(1280, 900),
	)
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	browser, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() {
		ending, stop := context.WithTimeout(browser, 20*time.Second)
		defer stop()
		if err := chromedp.Cancel(ending); err != nil {
			t.Logf("chromium: %v", err)
		}
		cancel()
		cancelAllocator()
	})
	tab := Tab{
		TB: t, life: func() context.Context { return browser },
		within: func() (context.Context, context.CancelFunc) { return context.WithTimeout(browser, time.Minute) },
	}
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return tab
}

func chromium(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("NBPRESS_TEST_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium for the tests: install it (Debian: apt-get install chromium), or name it in NBPRESS_TEST_CHROMIUM")
	return ""
}

// Open goes to an address, and returns when the page has loaded.
func (b Tab) Open(address string) {
	b.Helper()
	ctx, cancel := b.within()
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		b.Fatalf("open %s: %v", address, err)
	}
}

// Eval returns what JavaScript in the page gives, as text; of a promise, once it is kept.
func (b Tab) Eval(script string) string {
	b.Helper()
	ctx, cancel := b.within()
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => String(await ("+script+")))()", chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%s: %v", script, err)
	}
	return text
}

// FrameText returns the text of the pages in the page's frames.
func (b Tab) FrameText() string {
	b.Helper()
	ctx, cancel := b.within()
	defer cancel()
	document, err := chromedp.Run(ctx, func(ctx context.Context, target *chromedp.Target) (dom.GetDocumentResult, error) {
		depth, pierce := int64(-1), true
		return cdp.Call(ctx, target, dom.GetDocument, dom.GetDocumentParams{Depth: &depth, Pierce: &pierce})
	})
	if err != nil {
		b.Fatal(err)
	}
	const textNode = 3 // https://dom.spec.whatwg.org/#dom-node-nodetype
	var text strings.Builder
	var walk func(n *cdp.Node, within bool)
	walk = func(n *cdp.Node, within bool) {
		if within && n.NodeType == textNode {
			text.WriteString(n.NodeValue)
		}
		for _, child := range n.Children {
			walk(child, within)
		}
		if n.ContentDocument != nil {
			walk(n.ContentDocument, true)
		}
	}
	walk(document.Root, false)
	return text.String()
}

// Screenshot returns what is to be seen, as PNG.
func (b Tab) Screenshot() []byte {
	b.Helper()
	ctx, cancel := b.within()
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	return png
}

// OnAlert has alert() in every page and frame call back, with the address of the page, or
// of the page that a frame without an address is in. After a page has loaded, its elements
// are poked: clicked, hovered over, focused. It says "poked" to its parent when that is
// over. It is for pages that are opened after it.
func (b Tab) OnAlert(called func(address string)) {
	b.Helper()
	ctx, cancel := b.within()
	defer cancel()
	events := chromedp.Events(b.life(), runtime.BindingCalled)
	_, err := chromedp.Run(ctx, func(ctx context.Context, target *chromedp.Target) (page.AddScriptToEvaluateOnNewDocumentResult, error) {
		if _, err := cdp.Call(ctx, target, runtime.AddBinding, runtime.AddBindingParams{Name: "nbpressAlerted"}); err != nil {
			return page.AddScriptToEvaluateOnNewDocumentResult{}, err
		}
		return cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: pokeScript})
	})
	if err != nil {
		b.Fatal(err)
	}
	go func() { // ends with the browser
		for event, err := range events {
			if err != nil {
				return
			}
			called(event.Payload)
		}
	}()
}

const pokeScript = `
	window.alert = () => nbpressAlerted(document.baseURI);
	addEventListener("load", () => setTimeout(() => {
		for (const element of document.querySelectorAll("*")) {
			const href = element.getAttribute("href") || element.getAttribute("xlink:href") || "";
			for (const kind of ["mouseover", "mouseenter", "pointerenter", "focus", "dblclick", "copy", "toggle", "submit", "close", "start"])
				element.dispatchEvent(new Event(kind, {bubbles: false, cancelable: true}));
			if (!href || href.toLowerCase().replace(/\s/g, "").startsWith("javascript:") || href === "#")
				element.dispatchEvent(new MouseEvent("click", {bubbles: false, cancelable: true}));
		}
		setTimeout(() => parent.postMessage("poked", "*"), 60);
	}, 20));
`
