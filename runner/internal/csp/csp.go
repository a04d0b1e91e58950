// Package csp puts a Content-Security-Policy into pages that are published, and says what
// of a page it stops. See https://www.w3.org/TR/CSP3/.
//
// A page of a report is HTML with data in it. The template's autoescape keeps data from
// becoming markup; the policy is there for where a template says |safe: without a word in
// the report's config.json no script runs, and nothing is fetched or sent.
package csp

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"

	tokens "golang.org/x/net/html"
)

// Policy is what a report asks for. The zero value allows inline styles and data: images,
// and nothing else.
type Policy struct {
	InlineScripts bool
	Connect       []string // origins that scripts may talk to
	Images        []string // origins of images; "self" is where the page itself stands
}

// String returns the policy as a header has it.
func (p Policy) String() string {
	directives := []string{"default-src 'none'", "style-src 'unsafe-inline'", "img-src data:" + origins(p.Images), "font-src data:", "media-src data:"}
	if p.InlineScripts {
		directives = append(directives, "script-src 'unsafe-inline'")
	}
	if len(p.Connect) > 0 {
		directives = append(directives, "connect-src"+origins(p.Connect))
	}
	return strings.Join(append(directives, "base-uri 'none'", "form-action 'none'"), "; ")
}

// origins lists sources with a blank before each.
func origins(list []string) string {
	var b strings.Builder
	for _, origin := range list {
		if origin == "self" {
			origin = "'self'"
		}
		b.WriteString(" " + origin)
	}
	return b.String()
}

// Apply returns the page with the policy in it, as early as a browser heeds it: at the
// start of the head, before anything that the policy is about.
func (p Policy) Apply(page []byte) []byte {
	at := headStart(page)
	meta := fmt.Sprintf("<meta http-equiv=\"Content-Security-Policy\" content=\"%s\">", html.EscapeString(p.String()))
	return slices.Concat(page[:at], []byte(meta), page[at:])
}

// headStart returns where the contents of a page's head begin: behind <head>, or where a
// browser would make up a head, in front of the first thing that is not before one.
func headStart(page []byte) int {
	z := tokens.NewTokenizer(bytes.NewReader(page))
	at := 0
	for {
		kind := z.Next()
		raw := z.Raw()
		switch kind {
		case tokens.DoctypeToken, tokens.CommentToken:
		case tokens.TextToken:
			if at == 0 {
				raw = bytes.TrimPrefix(raw, []byte("\ufeff")) // only there it is no text
				at += len(z.Raw()) - len(raw)
			}
			if len(bytes.TrimLeft(raw, " \t\r\n\f")) > 0 {
				return at
			}
		case tokens.StartTagToken:
			switch name, _ := z.TagName(); string(name) {
			case "html":
			case "head":
				return at + len(raw)
			default:
				return at
			}
		default:
			return at
		}
		at += len(raw)
	}
}

// Blocked says what of a page the policy stops, and what to do about it: one line for
// each kind of it.
func (p Policy) Blocked(page []byte) []string {
	found := map[string]int{}
	inStyle := false
	z := tokens.NewTokenizer(bytes.NewReader(page))
	for kind := z.Next(); kind != tokens.ErrorToken; kind = z.Next() {
		switch kind {
		case tokens.StartTagToken, tokens.SelfClosingTagToken:
			t := z.Token()
			inStyle = t.Data == "style"
			for _, what := range p.stops(t) {
				found[what]++
			}
		case tokens.TextToken:
			if inStyle && p.fetches(z.Raw()) {
				found[styleFile]++
			}
		}
	}
	var lines []string
	for _, b := range blocked {
		if n := found[b.what]; n > 0 {
			times := ""
			if n > 1 {
				times = fmt.Sprintf(" (%d times)", n)
			}
			lines = append(lines, fmt.Sprintf("the page has %s%s, which its Content-Security-Policy stops; %s", b.what, times, b.do))
		}
	}
	return lines
}

// What a policy may stop.
const (
	script      = "a script"
	scriptFile  = "a script from a file"
	handler     = "an event handler such as onclick"
	scriptLink  = "a javascript: link"
	image       = "an image that is no data: URL"
	styleSheet  = "a style sheet from a file"
	styleFile   = "a style that fetches a file (@import, url())"
	media       = "a video or a sound from a file"
	frame       = "a frame or an embedded object"
	sentForm    = "a form that is sent"
	base        = "a <base>"
	askForThem  = `"content_security": {"scripts": "inline"} in config.json allows it`
	putItInline = "put it into the page"
)

// blocked are all of them, with what to do.
var blocked = [...]struct{ what, do string }{
	{script, askForThem}, {scriptFile, "put it into the page, and ask for it: " + askForThem}, {handler, askForThem}, {scriptLink, askForThem},
	{image, `put it into the page as a data: URL, or name its origin ("self" for a published file) in "content_security": {"images": [...]}`},
	{styleSheet, putItInline}, {styleFile, putItInline + ": fonts and images as data: URLs"}, {media, putItInline + " as a data: URL, or link to it"}, {frame, "link to it"}, {sentForm, "link to where it would be sent"},
	{base, "write the addresses out"},
}

// stops lists what of a tag the policy stops.
func (p Policy) stops(t tokens.Token) (what []string) {
	attributes := map[string]string{}
	for _, a := range t.Attr {
		if a.Key == "style" && p.fetches([]byte(a.Val)) {
			what = append(what, styleFile)
		}
		attributes[a.Key] = strings.TrimSpace(a.Val)
		if strings.HasPrefix(a.Key, "on") && len(a.Key) > 2 && !p.InlineScripts {
			what = append(what, handler)
		}
		if slices.Contains(addressed[:], a.Key) && javascript.MatchString(a.Val) && !p.InlineScripts {
			what = append(what, scriptLink)
		}
	}
	switch t.Data {
	case "script":
		switch {
		case attributes["src"] != "":
			what = append(what, scriptFile)
		case executes(attributes["type"]) && !p.InlineScripts:
			what = append(what, script)
		}
	case "img", "image":
		first, _, _ := strings.Cut(attributes["srcset"], " ")
		src := cmp.Or(attributes["src"], attributes["href"], attributes["xlink:href"], first)
		if src != "" && src[0] != '#' && !p.shows(src) {
			what = append(what, image)
		}
	case "source", "video", "audio":
		if src := strings.ToLower(attributes["src"]); src != "" && !strings.HasPrefix(src, "data:") {
			what = append(what, media)
		}
	case "link":
		if slices.Contains(strings.Fields(strings.ToLower(attributes["rel"])), "stylesheet") {
			what = append(what, styleSheet)
		}
	case "iframe", "frame", "object", "embed":
		what = append(what, frame)
	case "form":
		what = append(what, sentForm)
	case "base":
		what = append(what, base)
	}
	return what
}

// fetched matches what makes a style fetch something, with its address.
var fetched = regexp.MustCompile(`(?i)@import\b|url\(\s*["']?\s*([^"')]*)`)

// fetches reports whether a style needs a file. A data: URL is none, nor is a part of the page.
func (p Policy) fetches(style []byte) bool {
	for _, match := range fetched.FindAllSubmatch(style, -1) {
		address := string(match[1])
		if !strings.HasPrefix(address, "#") && !p.shows(address) {
			return true
		}
	}
	return false
}

// addressed are the attributes that a click follows.
var addressed = [...]string{"href", "xlink:href", "action", "formaction", "src"}

// javascript matches an address that is a script, as browsers read it: without the blanks
// and line breaks in its scheme.
var javascript = regexp.MustCompile(`(?i)^[\x00-\x20]*j\s*a\s*v\s*a\s*s\s*c\s*r\s*i\s*p\s*t\s*:`)

// executes reports whether a script of a type is code: data blocks are not.
func executes(kind string) bool {
	kind = strings.ToLower(kind)
	return kind == "" || kind == "module" || strings.Contains(kind, "javascript") || strings.Contains(kind, "ecmascript")
}

// shows reports whether an image may be fetched from an address.
func (p Policy) shows(src string) bool {
	lower := strings.ToLower(src)
	switch {
	case strings.HasPrefix(lower, "data:"):
		return true
	case !strings.Contains(lower, "://") && !strings.HasPrefix(lower, "//"):
		return slices.Contains(p.Images, "self")
	}
	return slices.ContainsFunc(p.Images, func(origin string) bool {
		return lower == strings.ToLower(origin) || strings.HasPrefix(lower, strings.ToLower(strings.TrimSuffix(origin, "/"))+"/")
	})
}
