package csp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPolicy_IsWrittenAsBrowsersReadIt(t *testing.T) {
	for want, policy := range map[string]Policy{
		"default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; media-src data:; base-uri 'none'; form-action 'none'": {},
		"default-src 'none'; style-src 'unsafe-inline'; img-src data: 'self' https://i.example.com; font-src data:; media-src data:; script-src 'unsafe-inline'; connect-src https://api.example.com wss://x.example.com; base-uri 'none'; form-action 'none'": {
			InlineScripts: true, Connect: []string{"https://api.example.com", "wss://x.example.com"}, Images: []string{"self", "https://i.example.com"},
		},
	} {
		if got := policy.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestApply_StandsBeforeAllThatThePolicyIsAbout(t *testing.T) {
	const mark = `<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;`
	for page, before := range map[string]string{
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<title>x</title></head></html>": "<!DOCTYPE html>\n<html lang=\"en\">\n<head>",
		"<!-- c --><!doctype html><HTML><HEAD data-x='>'><script></script>":           "<!-- c --><!doctype html><HTML><HEAD data-x='>'>",
		"<html><body>x</body></html>":                                                 "<html>",
		"<h1>x</h1>":                                                                  "",
		"  text <head>":                                                               "",
		"\xef\xbb\xbf<!DOCTYPE html><head>":                                           "\xef\xbb\xbf<!DOCTYPE html><head>",
		"<!DOCTYPE html><script>alert(1)</script><head>":                              "<!DOCTYPE html>",
		"<!DOCTYPE html><title><head></title><head>":                                  "<!DOCTYPE html>",
		"<!-- <head> --><p>":                                                          "<!-- <head> -->",
		"<!DOCTYPE html></p><head>":                                                   "<!DOCTYPE html>",
		"":                                                                            "",
		"<!DOCTYPE html>\n<html>\n<!-- <script> -->\n<head":                           "<!DOCTYPE html>\n<html>\n<!-- <script> -->\n",
		"<header>x</header>":                                                          "",
	} {
		got := string(Policy{}.Apply([]byte(page)))
		if !strings.HasPrefix(got, before+mark) || !strings.HasSuffix(got, page[len(before):]) {
			t.Errorf("%q became %q", page, got)
		}
	}
}

func TestBlocked_TellsOfEachKindOnce(t *testing.T) {
	all := Policy{InlineScripts: true, Images: []string{"self", "https://i.example.com"}}
	for _, test := range []struct {
		page   string
		policy Policy
		want   []string
	}{
		{`<style>p{}</style><p style="x" data-on="y"><img src="data:image/png;base64,x"><a href="https://x.example.com">y</a>`, Policy{}, nil},
		{`<script>1</script><script type="module">2</script><script type="application/json">{}</script>`, Policy{}, []string{"a script (2 times)"}},
		{`<script src="x.js"></script>`, all, []string{"a script from a file"}},
		{`<p onclick="x()"><a href=" JavaScript:x()">`, Policy{}, []string{"an event handler", "a javascript: link"}},
		{`<p onclick="x()"><a href="javascript:x()"><script>1</script>`, all, nil},
		{`<img src="chart.png"><img src="https://i.example.com/x.png"><img src="//x/y.png">`, Policy{}, []string{"an image that is no data: URL (3 times)"}},
		{`<img src="chart.png"><img src="https://i.example.com/x.png">`, all, nil},
		{`<img src="https://i.example.com.evil.com/x.png">`, all, []string{"an image"}},
		{`<link rel="stylesheet" href="x.css"><iframe src="x"></iframe><form action="x"></form><link rel="icon" href="data:,">`, Policy{}, []string{"a style sheet", "a frame", "a form"}},
		{`<link rel="preload stylesheet"><style>@import url(https://fonts.example.com/x.css);</style>`, Policy{}, []string{"a style sheet", "a style that fetches"}},
		{`<style>a { background: url( "//x.example.com/a.png") }</style><p style="background: URL('a.png')">`, Policy{}, []string{"a style that fetches a file (@import, url()) (2 times)"}},
		{`<style>a { background: url(data:image/png;base64,AA); mask: url(#m) }</style><p>url(https://x)`, Policy{}, nil},
		{`<style>a { background: url(https://i.example.com/a.png) }</style>`, all, nil},
		{`<img srcset="a.png 2x"><svg><image href="https://x.example.com/a.png"/><image xlink:href="#a"/></svg>`, Policy{}, []string{"an image that is no data: URL (2 times)"}},
		{`<video src="a.mp4"></video><audio><source src="a.mp3"></audio><video src="data:video/mp4,"></video>`, Policy{}, []string{"a video or a sound from a file (2 times)"}},
		{"<a href=\"java\tscript:x()\"><a href=' JavaScript:x()'><p title='JavaScript: the good parts' data-x='javascript:'>", Policy{}, []string{"a javascript: link (2 times)"}},
		{`<!-- <script>1</script> --><textarea><script></textarea>`, Policy{}, nil},
	} {
		var got []string
		for i, line := range test.policy.Blocked([]byte(test.page)) {
			what := strings.TrimPrefix(line, "the page has ")
			if i < len(test.want) && strings.HasPrefix(what, test.want[i]) {
				what = test.want[i]
			}
			got = append(got, what)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.page, diff)
		}
	}
}

func TestApply_TakesAByteOrderMarkForTextWhereBrowsersDo(t *testing.T) {
	meta := string(Policy{}.Apply(nil))
	for page, want := range map[string]string{
		"\ufeff<head><title>":               "\ufeff<head>" + meta + "<title>",
		"\ufeff \n<!DOCTYPE html><head>":    "\ufeff \n<!DOCTYPE html><head>" + meta,
		"<!DOCTYPE html><html>\ufeff<head>": "<!DOCTYPE html><html>" + meta + "\ufeff<head>",
		"<!-- -->\ufeff<head>":              "<!-- -->" + meta + "\ufeff<head>",
		"\ufeff\ufeff<head>":                "\ufeff" + meta + "\ufeff<head>",
	} {
		if got := string(Policy{}.Apply([]byte(page))); got != want {
			t.Errorf("%q: got %q, want %q", page, got, want)
		}
	}
}

func FuzzApply(f *testing.F) {
	for _, page := range []string{"<!DOCTYPE html><html><head><title>x</title>", "<script>", "<!--", "<head", "\x00<head>"} {
		f.Add([]byte(page))
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		got := string(Policy{}.Apply(page))
		meta := string(Policy{}.Apply(nil))
		before, after, ok := strings.Cut(got, meta)
		if !ok || before+after != string(page) && !strings.Contains(string(page), meta) {
			t.Fatalf("%q became %q", page, got)
		}
		if lower := strings.ToLower(before); strings.Contains(lower, "<script") && !strings.Contains(lower, "<!") && !strings.Contains(lower, "<head") && !strings.Contains(lower, "<html") {
			t.Errorf("the policy stands behind a script: %q", got)
		}
		Policy{}.Blocked(page)
	})
}
