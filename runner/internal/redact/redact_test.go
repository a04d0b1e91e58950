package redact_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"nbpress/internal/testenv"
	"nbpress/runner/internal/redact"
)

const value = `postgres://reader:p'ä"s\s w&rd+/%41<x>@db.example.com:5432/plants?x=1`

func newRedactor(t testing.TB, secrets ...redact.Secret) *redact.Redactor {
	t.Helper()
	r, err := redact.New(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestString_MarksEveryForm(t *testing.T) {
	r := newRedactor(t, redact.Secret{Name: "DB_URL", Value: value})
	inJSON, _ := json.Marshal(value)
	twice, _ := json.Marshal(string(inJSON))
	wrapped := base64.StdEncoding.EncodeToString([]byte(value))
	for name, form := range map[string]string{
		"as it is":                value,
		"JSON":                    strings.Trim(string(inJSON), `"`),
		"JSON in JSON":            strings.Trim(string(twice), `"`),
		"ASCII":                   strings.Trim(strconv.QuoteToASCII(value), `"`),
		"query":                   url.QueryEscape(value),
		"path":                    url.PathEscape(value),
		"query in JSON":           strings.ReplaceAll(url.QueryEscape(value), "%", `\u0025`),
		"HTML":                    html.EscapeString(value),
		"JSON in HTML":            html.EscapeString(strings.Trim(string(inJSON), `"`)),
		"base64":                  base64.StdEncoding.EncodeToString([]byte(value)),
		"base64 for URLs":         base64.RawURLEncoding.EncodeToString([]byte(value)),
		"base64 behind a byte":    base64.StdEncoding.EncodeToString([]byte("x" + value + "yz")),
		"base64 behind two bytes": base64.StdEncoding.EncodeToString([]byte("xy" + value + "z")),
		"base64 in lines":         wrapped[:30] + "\n" + wrapped[30:60] + "\r\n  " + wrapped[60:],
		"base64 in a query":       url.QueryEscape(wrapped),
		"hex":                     hex.EncodeToString([]byte(value)),
		"hex in upper case":       strings.ToUpper(hex.EncodeToString([]byte(value))),
		"CSV":                     strings.ReplaceAll(value, `"`, `""`),
		"a shell":                 strings.ReplaceAll(value, `'`, `'"'"'`),
		"colours":                 "\x1b[31m" + value[:20] + "\x1b[0;1m" + value[20:],
	} {
		got := r.String("before " + form + " after\n")
		if !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after\n") || !strings.Contains(got, "[secret DB_URL]") {
			t.Errorf("%s: %q became %q", name, form, got)
		}
		if left := strings.TrimSuffix(strings.TrimPrefix(got, "before "), " after\n"); len(left) > len("[secret DB_URL]")+8 {
			t.Errorf("%s: of %q is left %q", name, form, left)
		}
		if r.In([]byte(form)) != "DB_URL" {
			t.Errorf("%s: not found in %q", name, form)
		}
	}
}

// TestString_MarksWhatPythonWrites asks the encoders that notebooks have.
func TestString_MarksWhatPythonWrites(t *testing.T) {
	oracle := testenv.NewOracle(t, "oracle.py")
	for _, value := range []string{
		value, "hunter2hunter2", "it's \"quoted\" \\n & <b> 100%zz", "12345678", "a b+c/d=e&f?g#h", "contraseña", "密码密码密码", "🔑🔒🔑🔒",
		`C:\temp\new\x41`, "%41%42%43%44%", "&lt;&amp;&#39;", "tab\tand\u00a0blank", strings.Repeat("0123456789abcdef", 300), "''''''''", `""""""""`,
	} {
		r := newRedactor(t, redact.Secret{Name: "IT", Value: value})
		var looks [][2]string
		oracle.Ask(t, value, &looks)
		for _, look := range looks {
			how, form := look[0], look[1]
			if how == "utf-16" {
				form = string(latin1(form))
			}
			got := r.String("before " + form + " after")
			if !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") || !strings.Contains(got, "[secret IT]") {
				t.Errorf("%q, %s: %q became %q", value, how, form, got)
			}
			if again := r.In([]byte(got)); again != "" {
				t.Errorf("%q, %s: it is still in %q", value, how, got)
			}
		}
	}
}

// latin1 returns the bytes that a text stands for, one for each of its characters.
func latin1(text string) []byte {
	var b []byte
	for _, r := range text {
		b = append(b, byte(r))
	}
	return b
}

func TestString_LeavesWhatIsNoSecret(t *testing.T) {
	r := newRedactor(t, redact.Secret{Name: "A", Value: "correct-horse-battery"}, redact.Secret{Name: "B", Value: "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nabc\n-----END PRIVATE KEY-----"})
	for _, text := range []string{
		"", "correct-horse", "correct-horse-batterx", "-----BEGIN PRIVATE KEY-----", "abc", strings.Repeat(`\`, 10000), strings.Repeat("%25", 5000),
		strings.Repeat("&amp;", 5000), "\xff\xfe\x00\\u\\x\\U0001\\ud800\\ud800%%2%zz&;&#;&#x;\x1b[\x1b[31", strings.Repeat(" \t\r\n", 1000),
	} {
		if got := r.String(text); got != text {
			t.Errorf("%.60q became %.60q", text, got)
		}
	}
}

func TestString_MarksPartsOfLongValues(t *testing.T) {
	key := "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n-----END PRIVATE KEY-----\n"
	r := newRedactor(t, redact.Secret{Name: "KEY", Value: key})
	for text, want := range map[string]string{
		key: "[secret KEY]\n",
		"    | MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n    | BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n": "    | [secret KEY]\n    | [secret KEY]\n",
		strings.ReplaceAll(key, "\n", ""):                                                  "[secret KEY]",
	} {
		if got := r.String(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestNew_NamesWhatCannotBeProtected(t *testing.T) {
	for want, s := range map[string]redact.Secret{
		"A is too short to be kept out of outputs: it has 7 bytes, and needs 8": {Name: "A", Value: " 1234567\n"},
		"A is no text": {Name: "A", Value: "12345678\xff"},
		"with A the secrets have more than 64 KiB": {Name: "A", Value: strings.Repeat("x", 64<<10+1)},
		"A stands in the names of secrets":         {Name: "A", Value: "[secret A]"},
	} {
		if _, err := redact.New(s); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestCuts_HideTheRestOfAValue(t *testing.T) {
	r := newRedactor(t, redact.Secret{Name: "A", Value: "correct-horse-battery"})
	for text, want := range map[string]string{
		"say correct-horse-b": "say [secret A]", "say correct-": "say [secret A]", "say correct": "say correct", "": "",
	} {
		if got := r.Begun(text); got != want {
			t.Errorf("Begun(%q): got %q, want %q", text, got, want)
		}
	}
	long := strings.Repeat("x", 30) + strings.Repeat("y", 50) + strings.Repeat("z", 30) // looked for in two parts, which overlap
	parts := newRedactor(t, redact.Secret{Name: "L", Value: long})
	if got, want := parts.Begun("say "+long[:100]), "say [secret L]"; got != want {
		t.Errorf("Begun: got %q, want %q", got, want)
	}
	if got, want := string(parts.Ended([]byte(long[10:]+" or so"))), "[secret L] or so"; got != want {
		t.Errorf("Ended: got %q, want %q", got, want)
	}
	for text, want := range map[string]string{
		"orse-battery or so": "[secret A] or so", "battery or so": "battery or so", "-battery": "[secret A]", "": "",
	} {
		if got := string(r.Ended([]byte(text))); got != want {
			t.Errorf("Ended(%q): got %q, want %q", text, got, want)
		}
	}
}

func TestJSON_StaysJSON(t *testing.T) {
	r := newRedactor(t, redact.Secret{Name: "A", Value: `horse"battery`}, redact.Secret{Name: "N", Value: "1234567890"}, redact.Secret{Name: "L", Value: "one line\nand two"})
	in := `{"a": ["x horse\"bat", "tery y"], "horse\"battery": [1234567890.5, -1, null, true, [["one line\n", "and two"], {}]], "b": "caf\u00e9"}`
	want := `{"a": ["x [secret A]", " y"], "[secret A]": ["[secret N].5", -1, null, true, [["[secret L]", ""], {}]], "b": "caf\u00e9"}`
	got, err := r.JSON([]byte(in))
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if _, err := r.JSON([]byte("{")); err == nil {
		t.Error("half of a JSON text was taken for one")
	}
}

// A text that is full of values must not grow without bound.
func TestString_BoundsWhatMarksAdd(t *testing.T) {
	r := newRedactor(t, redact.Secret{Name: strings.Repeat("N", 60), Value: "12345678"})
	text := strings.Repeat("12345678\n", 100000)
	if got := r.String(text); len(got) > len(text)+100*1000 {
		t.Errorf("%d bytes became %d", len(text), len(got))
	}
}

func TestInFile_UnpacksNoMoreThanItMay(t *testing.T) {
	r := newRedactor(t, redact.Secret{Name: "IT", Value: "correct-horse-battery"})
	var zipped, packed, many bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, err := w.Write(append(make([]byte, 1<<20), "correct-horse-battery"...))
	archive := zip.NewWriter(&packed)
	for range 3 {
		member, createErr := archive.Create("member")
		if createErr == nil {
			_, createErr = member.Write(make([]byte, 1<<20))
		}
		err = errors.Join(err, createErr)
	}
	members := zip.NewWriter(&many)
	for range 10001 {
		_, createErr := members.Create("")
		err = errors.Join(err, createErr)
	}
	if err = errors.Join(err, w.Close(), archive.Close(), members.Close()); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		data     []byte
		limit    int64
		want     string
		unpacked int64
		whole    bool
	}{
		"a text":           {[]byte("correct"), 0, "", 0, true},
		"gzip":             {zipped.Bytes(), 2 << 20, "IT", 1<<20 + 21, true},
		"too much gzip":    {zipped.Bytes(), 1 << 20, "", 1 << 20, false},
		"zip":              {packed.Bytes(), 4 << 20, "", 3 << 20, true},
		"too much zip":     {packed.Bytes(), 2 << 20, "", 2 << 20, false},
		"nothing may be":   {packed.Bytes(), 0, "", 0, false},
		"too many members": {many.Bytes(), 4 << 20, "", 0, false},
	} {
		found, unpacked, whole := r.InFile(test.data, test.limit)
		if found != test.want || unpacked != test.unpacked || whole != test.whole {
			t.Errorf("%s: got %q, %d, %v; want %q, %d, %v", name, found, unpacked, whole, test.want, test.unpacked, test.whole)
		}
	}
}

func FuzzRedactor(f *testing.F) {
	f.Add("hunter2hunter2", "say hunter2hunter2 and aHVudGVyMmh1bnRlcjI=", uint16(7), uint8(0))
	f.Add(`p@ss "w\rd"`, `\u0070@ss%20&quot;`, uint16(3), uint8(4))
	f.Add("one line\nand two", "one line\n  and two", uint16(9), uint8(9))
	f.Fuzz(func(t *testing.T, value, text string, cut uint16, how uint8) {
		r, err := redact.New(redact.Secret{Name: "IT", Value: value})
		if err != nil {
			return
		}
		value = strings.TrimSpace(value)
		// Whatever the text is, nothing of it is lost where nothing is found, and it does
		// not matter where it is cut.
		redacted := r.String(text)
		if r.In([]byte(text)) == "" && redacted != text {
			t.Fatalf("%q became %q, and nothing was found in it", text, redacted)
		}
		at := min(int(cut), len(text))
		if joined := strings.Join(r.Pieces([]string{text[:at], text[at:]}), ""); joined != redacted {
			t.Fatalf("%q cut at %d became %q, whole %q", text, at, joined, redacted)
		}
		if bytes.Contains([]byte(text), []byte(value)) && r.In([]byte(text)) == "" {
			t.Fatalf("%q was not found in %q", value, text)
		}
		// A form in the middle of it is found, and gone.
		forms := goForms(value)
		form := forms[int(how)%len(forms)]
		whole := text[:at] + " " + form + " " + text[at:]
		if r.In([]byte(whole)) == "" {
			t.Fatalf("%q was not found as %q in %q", value, form, whole)
		}
		if redacted := r.String(whole); strings.Contains(redacted, form) && !strings.Contains("[secret IT]", form) {
			t.Fatalf("%q is still in %q", form, redacted)
		}
		data, err := json.Marshal(map[string]any{"a": whole, "b": []string{whole[:at], whole[at:]}})
		if err != nil {
			t.Fatal(err)
		}
		if safe, err := r.JSON(data); err != nil || !json.Valid(safe) {
			t.Fatalf("%s became %s, %v", data, safe, err)
		}
	})
}

// goForms writes a value as Go's encoders do.
func goForms(value string) []string {
	inJSON, _ := json.Marshal(value)
	return []string{
		value, string(inJSON[1 : len(inJSON)-1]), url.QueryEscape(value), url.PathEscape(value), html.EscapeString(value),
		strconv.Quote(value), strconv.QuoteToASCII(value), hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value))),
		base64.StdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)),
		base64.StdEncoding.EncodeToString([]byte("x" + value)), base64.StdEncoding.EncodeToString([]byte("xy" + value + "z")),
	}
}

// BenchmarkRedact_Prints is what redaction adds to a notebook that prints 32 MB, with
// twenty secrets.
func BenchmarkRedact_Prints(b *testing.B) {
	var secrets []redact.Secret
	for i := range 20 {
		secrets = append(secrets, redact.Secret{Name: "S" + strconv.Itoa(i), Value: strings.Repeat(strconv.Itoa(i*7919+13), 6)})
	}
	r := newRedactor(b, secrets...)
	for name, line := range map[string]string{
		"plain":   "2026-11-23 06:00:00 plant-1 read 4711 values in 12.3 s, nothing odd\n",
		"escapes": `{"a": "caf\u00e9 \"x\"", "u": "a%20b%2Fc", "h": "&lt;b&gt;"}` + "\n",
	} {
		text := strings.Repeat(line, 32<<20/len(line))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if r.String(text) != text {
					b.Fatal("something was found")
				}
			}
		})
	}
}
