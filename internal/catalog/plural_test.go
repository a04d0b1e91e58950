package catalog

import (
	"fmt"
	"strings"
	"testing"
)

// expressions are those of the languages that gettext's manual and Babel know, and C that
// nobody writes.
var expressions = [...]string{
	"0", "n", "n-1", "n>1", "(n>1)", "n != 1", "(n != 1)", "!n", "!(n == 1)", "n!=1?1:0", "((n))!=1", "n == 1 ? 0 : 1",
	"n==1?0:n==2?1:2", "(n==1?0:(n==2?1:2))", "n==0 ? 0 : n==1 ? 1 : 2", "n==1 || n==0 ? 0 : 1", "n%10==1 && n%100!=11 ? 0 : 1",
	"n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2",
	"n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2",
	"n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2",
	"n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5",
	"n%100==1 ? 0 : n%100==2 ? 1 : n%100==3 || n%100==4 ? 2 : 3",
	"n==1 ? 0 : n==2 ? 1 : n<7 ? 2 : n<11 ? 3 : 4",
	"(n==1 || n==11) ? 0 : (n==2 || n==12) ? 1 : (n > 2 && n < 20) ? 2 : 3",
	"(n==1) ? 0 : (n>=2 && n<=4) ? 1 : 2",
	"n==1 ? 0 : n==0 || (n%100>1 && n%100<11) ? 1 : (n%100>10 && n%100<20) ? 2 : 3",
	"n % 10 == 1 && n % 100 != 11 && n % 100 != 71 && n % 100 != 91 ? 0 : n % 10 == 2 && n % 100 != 12 && n % 100 != 72 && n % 100 != 92 ? 1 : " +
		"((n % 10 == 3 || n % 10 == 4) || n % 10 == 9) && (n % 100 < 10 || n % 100 > 19) && (n % 100 < 70 || n % 100 > 79) && (n % 100 < 90 || n % 100 > 99) ? 2 : " +
		"n != 0 && n % 1000000 == 0 ? 3 : 4",
	"n / 10", "n*2%3", "n + 1 - 2", "2 * n + 1 > 5 == 1", "n < 3 != 1", "!!n", "1 || n / 0", "n ? 1 : 0",
}

func TestPlural_IsWhatPythonMakesOfIt(t *testing.T) {
	python := newOracle(t)
	for _, text := range expressions {
		var want []int64
		if raised := python.ask(t, "plural", text, &want); raised != "" {
			t.Fatalf("%s: Python: %s", text, raised)
		}
		form, err := compilePlural(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for n, want := range want {
			if got, err := form(int64(n)); err != nil || got != want {
				t.Errorf("%s: %d takes form %d (%v), want %d", text, n, got, err, want)
				break
			}
		}
	}
}

func TestPlural_RefusesWhatIsNoExpression(t *testing.T) {
	python := newOracle(t)
	for text, want := range map[string]string{
		"":                                  "ends too early",
		"n ==":                              "ends too early",
		"n n":                               `"n" is not expected`,
		"n ? 1":                             "ends too early",
		"(n":                                "ends too early",
		"n)":                                `")" is not expected`,
		"x":                                 `"x" is not expected`,
		"n && ":                             "ends too early",
		"__import__('os')":                  `"_" is not expected`,
		"n % ":                              "ends too early",
		"-1":                                `"-" is not expected`,
		"99999999999999999999":              "is too large",
		strings.Repeat("n==1||", 200) + "n": "more than 1000",
		strings.Repeat("(", 21) + "n" + strings.Repeat(")", 21): "more than 20 parentheses",
	} {
		if _, err := compilePlural(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", clip(text), err, want)
		}
		var forms []int64
		if strings.HasPrefix(text, "999") {
			continue // Python's numbers have no end
		}
		if raised := python.ask(t, "plural", text, &forms); raised == "" {
			t.Errorf("%q: Python takes it", clip(text))
		}
	}
}

func TestPluralForms_AreCheckedAgainstTheirNumber(t *testing.T) {
	for field, want := range map[string]string{
		"nplurals=2; plural=n != 1;":           "",
		"nplurals=1; plural=0;":                "",
		"nplurals=3; plural=n>1":               "",
		"nplurals=INTEGER; plural=EXPRESSION;": "",
		"nplurals=2; plural=n;":                "2 takes form 2, but nplurals is 2",
		"nplurals=2; plural=n-1;":              "0 takes form -1",
		"nplurals=9; plural=n%(n-5)==9;":       "for 5: it divides by zero",
		"nplurals=0; plural=0;":                "nplurals is not a number from 1 to 10",
		"nplurals=4000000000; plural=0;":       "nplurals is not a number from 1 to 10",
		"plural=0;":                            "nplurals is not a number",
		"nplurals=2":                           "ends too early",
	} {
		data := fmt.Sprintf("msgid \"\"\nmsgstr \"Plural-Forms: %s\\n\"\n", field)
		_, err := ParsePO([]byte(data))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", field, err, want)
		}
	}
}
