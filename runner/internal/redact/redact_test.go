package redact_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"

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
