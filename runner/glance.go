package runner

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Glance reads what a list of runs shows of a manifest: id, generation, report, asset,
// slot, status, the artifacts, and of an error and of a cancel what is in their own
// lines. It reads only the plainest of what Encode writes, line by line, since YAML takes
// a hundred times as long. Of all else, which may be a hand's work, it returns false:
// escapes, anchors, texts over several lines, keys that are there
// twice or are not known, documents that Decode might refuse. Where it returns true,
// Decode reads the same.
func Glance(data []byte) (m Manifest, ok bool) {
	if !plainDocument(data) {
		return Manifest{}, false
	}
	g := glance{rest: string(data)}
	g.run(&m)
	if g.odd || m.APIVersion != APIVersion || m.Kind != KindRun {
		return Manifest{}, false
	}
	return m, true
}

// glance is what is left to read of a document, until something is odd.
type glance struct {
	rest string
	odd  bool
}

// run reads a document's own lines, and what stands indented below some of them.
func (g *glance) run(m *Manifest) {
	var asked Asked
	seen := map[string]bool{}
	for g.rest != "" && !g.odd {
		key, value := g.line("")
		g.once(seen, key)
		switch key {
		case "apiVersion":
			m.APIVersion = g.text(value)
		case "kind":
			m.Kind = g.text(value)
		case "id":
			m.ID = RunID(g.text(value))
		case "generation":
			m.Generation = g.number(value)
		case "report":
			m.Report = g.text(value)
		case "asset":
			m.Asset = g.text(value)
		case "window":
			g.flow(value, "from_day", "to_day")
		case "languages":
			g.words(value)
		case "scheduled_at":
			m.ScheduledAt = g.time(value)
		case "on_demand":
			m.OnDemand = g.text(value)
		case "trigger":
			m.Trigger = Trigger(g.text(value))
		case "request":
			asked.Request = g.text(value)
		case "requested_by":
			asked.RequestedBy = g.text(value)
		case "reason":
			asked.Reason = g.text(value)
		case "bundle_commit":
			m.BundleCommit = g.text(value)
		case "parameters":
			g.flow(value)
		case "status":
			m.Status = Status(g.text(value))
		case "attempts":
			g.attempts(value)
		case "artifacts":
			m.Artifacts = g.artifacts(value)
		case "canceled_by":
			m.CanceledBy = g.canceled(value)
		case "error":
			m.Error = g.failure(value)
		default:
			g.odd = true
		}
	}
	m.Asked = asked
}

// once notes a key of a mapping, which may be there once.
func (g *glance) once(seen map[string]bool, key string) {
	g.odd = g.odd || seen[key]
	seen[key] = true
}

// line takes the next line, which is indented so and no further: `key: value`, or
// `key:` before what stands below it.
func (g *glance) line(indent string) (key, value string) {
	line, rest, _ := strings.Cut(g.rest, "\n")
	line, ok := strings.CutPrefix(line, indent)
	key, value, colon := strings.Cut(line, ":")
	if !ok || !colon || !isWord(key) {
		g.odd = true
		return "", ""
	}
	g.rest = rest
	if value == "" {
		return key, ""
	}
	value, ok = strings.CutPrefix(value, " ")
	g.odd = g.odd || !ok || value == ""
	return key, value
}

// below reports whether the next line is indented so, at least.
func (g *glance) below(indent string) bool { return !g.odd && strings.HasPrefix(g.rest, indent) }

// items calls each for every item of a list of mappings that stands below a key, with
// each of its lines.
func (g *glance) items(value string, begin func(), each func(key, value string)) {
	g.odd = g.odd || value != "" || !g.below("  - ")
	for g.below("  - ") {
		begin()
		seen := map[string]bool{}
		for indent := "  - "; g.below(indent); indent = "    " {
			key, value := g.line(indent)
			g.once(seen, key)
			each(key, value)
		}
	}
}

// fields reads the lines of a mapping below a key.
func (g *glance) fields(value string, each func(key, value string)) {
	seen := map[string]bool{}
	g.odd = g.odd || value != "" || !g.below("  ")
	for g.below("  ") {
		key, value := g.line("  ")
		g.once(seen, key)
		each(key, value)
	}
}

func (g *glance) attempts(value string) {
	g.items(value, func() {}, func(key, value string) {
		switch key {
		case "started_at", "finished_at":
			g.time(value)
		case "ended", "message", "sandbox":
			g.text(value)
		case "seconds":
			g.numbers(value)
		default:
			g.odd = true
		}
	})
}

func (g *glance) artifacts(value string) []Artifact {
	var all []Artifact
	g.items(value, func() { all = append(all, Artifact{}) }, func(key, value string) {
		a := &all[len(all)-1]
		switch key {
		case "language":
			a.Language = g.text(value)
		case "name":
			a.Name = g.text(value)
		case "key":
			a.Key = g.text(value)
		case "sha256":
			a.SHA256 = g.text(value)
		case "bytes":
			a.Bytes = g.number(value)
		default:
			g.odd = true
		}
	})
	return all
}

func (g *glance) canceled(value string) *Asked {
	var by Asked
	g.fields(value, func(key, value string) {
		switch key {
		case "request":
			by.Request = g.text(value)
		case "requested_by":
			by.RequestedBy = g.text(value)
		case "reason":
			by.Reason = g.text(value)
		default:
			g.odd = true
		}
	})
	return &by
}

func (g *glance) failure(value string) *RunError {
	var e RunError
	g.fields(value, func(key, value string) {
		switch key {
		case "code":
			e.Code = Code(g.text(value))
		case "fault":
			e.Fault = Fault(g.text(value))
		case "message":
			e.Message = g.text(value)
		case "advice":
			e.Advice = g.text(value)
		case "cell":
			g.pairs(value, func(_, value string) bool { _, ok := wholeNumber(value); return ok })
		case "traceback":
			g.skipLiteral(value)
		default:
			g.odd = true
		}
	})
	return &e
}

// skipLiteral passes over a text in its own lines.
func (g *glance) skipLiteral(value string) {
	const indent = "    "
	if g.odd = g.odd || value != "|" && value != "|-"; !g.below(indent) || g.below(indent+" ") || g.below(indent+"\n") {
		g.odd = true // the first line says how far all are indented
		return
	}
	for g.below(indent) || g.below("\n") {
		_, g.rest, _ = strings.Cut(g.rest, "\n")
	}
}

// text reads a line's text, plain or in quotes that hide nothing.
func (g *glance) text(value string) string {
	if quoted, ok := strings.CutPrefix(value, "'"); ok {
		quoted, ok = strings.CutSuffix(quoted, "'")
		text := strings.ReplaceAll(quoted, "''", "\x00")
		g.odd = g.odd || !ok || strings.Contains(text, "'")
		return strings.ReplaceAll(text, "\x00", "'")
	}
	if quoted, ok := strings.CutPrefix(value, `"`); ok {
		quoted, ok = strings.CutSuffix(quoted, `"`)
		g.odd = g.odd || !ok || strings.ContainsAny(quoted, `"\`)
		return quoted
	}
	plain := value != "" && isAlphanumeric(value[0]) &&
		!strings.Contains(value, ": ") && !strings.Contains(value, " #") &&
		!strings.HasSuffix(value, ":") && !strings.HasSuffix(value, " ") &&
		!strings.EqualFold(value, "null")
	g.odd = g.odd || !plain
	return value
}

func (g *glance) number(value string) int {
	n, ok := wholeNumber(value)
	g.odd = g.odd || !ok
	return n
}

// wholeNumber reads a number that YAML reads as Go does: without leading zeros.
func wholeNumber(value string) (int, bool) {
	n, err := strconv.ParseUint(value, 10, 31)
	return int(n), err == nil && strconv.FormatUint(n, 10) == value
}

func (g *glance) time(value string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, value)
	g.odd = g.odd || err != nil || strings.Contains(value, ",")
	return at
}

// flow passes over `{key: value, ...}` of words, with these keys or any.
func (g *glance) flow(value string, keys ...string) {
	g.pairs(value, func(key, value string) bool {
		known := len(keys) == 0
		for _, k := range keys {
			known = known || k == key
		}
		return known && isScalar(value)
	})
}

// numbers passes over `{key: 1.5, ...}`.
func (g *glance) numbers(value string) {
	g.pairs(value, func(_, value string) bool {
		_, err := strconv.ParseFloat(value, 64)
		return err == nil && strings.Trim(value, "0123456789.") == "" && isAlphanumeric(value[0])
	})
}

func (g *glance) pairs(value string, fits func(key, value string) bool) {
	seen := map[string]bool{}
	for item := range g.elements(value, "{", "}") {
		key, value, ok := strings.Cut(item, ": ")
		g.odd = g.odd || !ok || !isWord(key) || !fits(key, value)
		g.once(seen, key)
	}
}

// words passes over `[word, ...]`.
func (g *glance) words(value string) {
	for item := range g.elements(value, "[", "]") {
		g.odd = g.odd || !isScalar(item)
	}
}

// elements yields what stands between brackets in one line.
func (g *glance) elements(value, opens, closes string) func(yield func(string) bool) {
	inner, ok := strings.CutPrefix(value, opens)
	inner, end := strings.CutSuffix(inner, closes)
	if g.odd = g.odd || !ok || !end; g.odd || inner == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(inner, ", ")
}

// longestKey is less than YAML takes for a key without a question mark, 1024 bytes.
const longestKey = 1000

// isWord reports whether a text is a key that needs no quotes and is no null or
// boolean.
func isWord(text string) bool {
	if len(text) > longestKey {
		return false
	}
	for i := range len(text) {
		if c := text[i]; !isAlphanumeric(c) && c != '_' || c <= '9' && i == 0 {
			return false
		}
	}
	switch strings.ToLower(text) {
	case "", "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return false
	}
	return true
}

// isScalar reports whether a text is a scalar of a flow collection that needs no quotes.
func isScalar(text string) bool {
	for i := range len(text) {
		if c := text[i]; !isAlphanumeric(c) && (i == 0 || !strings.ContainsRune("_.-/", rune(c))) {
			return false
		}
	}
	return text != ""
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// plainDocument reports whether a document has nothing but printable characters in
// whole lines, none of which YAML takes for something else.
func plainDocument(data []byte) bool {
	if len(data) == 0 || data[len(data)-1] != '\n' {
		return false
	}
	for i := 0; i < len(data); {
		c := data[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\n' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(data[i:])
		// Not UTF-8, controls, line ends of Unicode, byte order marks.
		if r == utf8.RuneError || r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r >= 0xfffe && r <= 0xffff {
			return false
		}
		i += size
	}
	return true
}
