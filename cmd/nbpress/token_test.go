package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nbpress/internal/testenv"
	"nbpress/internal/testenv/authority"
	"nbpress/runner"
	"nbpress/runner/report"
)

// authorityKey is where cmdAuthority leaves a script's server.
type authorityKey struct{}

// cmdAuthority starts a server that gives out tokens, as $AUTHORITY, and writes its
// client's secret to a file: `authority SECRETFILE`.
func cmdAuthority(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: authority SECRETFILE")
	}
	server := authority.Start(false)
	ts.Defer(server.Close)
	ts.Setenv("AUTHORITY", server.URL)
	*ts.Value(authorityKey{}).(**authority.Server) = server
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(authority.ClientSecret+"\n"), 0o600))
}

// cmdTokens wants the authority to have given out so many tokens, each revoked once, and
// none of them in a file: `tokens N PATH...`. `tokens used N` waits until data was had with
// them so often.
func cmdTokens(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: tokens N PATH... | tokens used N")
	}
	server := *ts.Value(authorityKey{}).(**authority.Server)
	if server == nil {
		ts.Fatalf("there is no authority")
	}
	if args[0] == "used" {
		deadline := time.After(awaitTimeout)
		for server.TotalUsed() < number(ts, args[1]) {
			select {
			case <-time.After(50 * time.Millisecond):
			case <-deadline:
				ts.Fatalf("the tokens were used %d times", server.TotalUsed())
			}
		}
		return
	}
	tokens, revoked := server.Tokens(), server.Revoked()
	if len(tokens) != number(ts, args[0]) || slices.ContainsFunc(revoked, func(times int) bool { return times != 1 }) {
		ts.Fatalf("%d tokens were given out, revoked %d times each", len(tokens), revoked)
	}
	files := 0
	for _, root := range args[1:] {
		ts.Check(filepath.WalkDir(ts.MkAbs(root), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			files++
			data, err := os.ReadFile(name)
			for _, token := range tokens {
				if bytes.Contains(data, []byte(token)) {
					ts.Fatalf("%s holds a token", name)
				}
			}
			return err
		}))
	}
	ts.Logf("[%d tokens, none in %d files]", len(tokens), files)
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

// checker is the manual's way to check a token, asked by a test.
type checker struct {
	t      *testing.T
	script string
}

// newChecker takes the lines from the manual and has them ask our server.
func newChecker(t *testing.T, keys string) checker {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile("(?s)```python\n(import jwt.*?)```").FindStringSubmatch(string(page))
	if lines == nil {
		t.Fatal("docs/operations.md shows no Python that begins with import jwt")
	}
	const documented = "https://nbpress.example.com" + jwksPath
	if !strings.Contains(lines[1], documented) {
		t.Fatalf("the lines do not ask %s:\n%s", documented, lines[1])
	}
	script := filepath.Join(t.TempDir(), "check.py")
	text := strings.ReplaceAll(lines[1], documented, keys+jwksPath) + "\nimport json, sys\njson.dump(claims_of(sys.stdin.read()), sys.stdout)\n"
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return checker{t, script}
}

// check returns a token's claims, or the name of the error.
func (c checker) check(token string) (claims map[string]any, refused string) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), testenv.Python(c.t), "-I", c.script)
	cmd.Stdin = strings.NewReader(token)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return nil, lines[len(lines)-1]
	}
	if err := json.Unmarshal(out, &claims); err != nil {
		c.t.Fatalf("%v: %s", err, out)
	}
	return claims, ""
}

// keyFile makes a key as the manual says.
func keyFile(t *testing.T, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token-key.pem")
	cmd := exec.CommandContext(t.Context(), "openssl", append([]string{"genpkey", "-out", file, "-algorithm"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return file
}

// signing is a configuration that signs tokens.
func signing(key string, others ...string) tokenConfig {
	var c tokenConfig
	c.JWT.KeyFile, c.JWT.PublicKeyFiles = key, others
	c.JWT.Issuer, c.JWT.Audience = "https://nbpress.example.com", "https://data.example.com"
	return c
}

// minted returns a token of a configuration, for a run that has this long.
func minted(t *testing.T, c tokenConfig, left time.Duration) string {
	t.Helper()
	all, err := c.open()
	if err != nil {
		t.Fatal(err)
	}
	minter, err := all.minter("energy/weekly", report.TokenJWT)
	if err != nil {
		t.Fatal(err)
	}
	made, err := minter.Mint(t.Context(), runner.Claims{
		Run: "k3v9", Generation: 2, Attempt: 3, Report: "energy/weekly", Asset: "plant-1",
		Window:    runner.Window{FromDay: "2026-11-16", ToDay: "2026-11-22"},
		Languages: []string{"en", "ca"}, Deadline: time.Now().Add(left),
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.Value
}

// The owner of the data checks tokens with the ten lines of the manual and the keys that
// the agent serves: Python's, which have nothing in common with what signs them.
func TestTokens_AreCheckedAsTheManualSays(t *testing.T) {
	t.Parallel()
	ed, rsa, old := keyFile(t, "ed25519"), keyFile(t, "rsa", "-pkeyopt", "rsa_keygen_bits:2048"), keyFile(t, "ed25519")
	all, err := signing(ed, rsa, old).open()
	if err != nil {
		t.Fatal(err)
	}
	s := &station{tokens: all}
	s.metrics = newMetrics(s.working.Load)
	handler, err := s.handler()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c := newChecker(t, server.URL)

	for name, key := range map[string]string{"Ed25519": ed, "RSA": rsa, "the key before": old} {
		claims, refused := c.check(minted(t, signing(key), 10*time.Minute))
		if refused != "" {
			t.Errorf("%s: %s", name, refused)
			continue
		}
		window, _ := claims["window"].(map[string]any)
		for claim, want := range map[string]any{
			"run": "k3v9", "generation": 2.0, "attempt": 3.0, "report": "energy/weekly", "asset": "plant-1", "sub": "energy/weekly/plant-1",
		} {
			if claims[claim] != want {
				t.Errorf("%s: %s is %v, want %v", name, claim, claims[claim], want)
			}
		}
		if window["from_day"] != "2026-11-16" || window["to_day"] != "2026-11-22" {
			t.Errorf("%s: window %v", name, window)
		}
		if left := claims["exp"].(float64) - claims["iat"].(float64); left < 590 || left > 601 {
			t.Errorf("%s: it is good for %v seconds, want the run's ten minutes", name, left)
		}
	}

	good := minted(t, signing(ed), 10*time.Minute)
	other := signing(ed)
	other.JWT.Audience = "https://elsewhere.example.com"
	parts := strings.Split(good, ".")
	forged := minted(t, signing(keyFile(t, "ed25519")), time.Hour)
	for name, test := range map[string]struct{ token, want string }{
		"expired":             {minted(t, signing(ed), -10*time.Minute), "jwt.exceptions.ExpiredSignatureError"},
		"for somebody else":   {minted(t, other, time.Hour), "jwt.exceptions.InvalidAudienceError"},
		"of an unknown key":   {forged, "jwt.exceptions.PyJWKClientError"},
		"with another claim":  {parts[0] + "." + strings.Split(forged, ".")[1] + "." + parts[2], "jwt.exceptions.InvalidSignatureError"},
		"without a signature": {parts[0] + "." + parts[1] + ".", "jwt.exceptions.InvalidSignatureError"},
	} {
		if _, refused := c.check(test.token); !strings.HasPrefix(refused, test.want) {
			t.Errorf("%s: %q, want %s", name, refused, test.want)
		}
	}
	answer, err := http.Get(server.URL + jwksPath)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got, want := answer.Header.Get("Content-Type"), "application/jwk-set+json"; got != want {
		t.Errorf("Content-Type %q, want %q", got, want)
	}
}

func TestTokens_SayWhichFileIsNoKey(t *testing.T) {
	t.Parallel()
	good, empty := keyFile(t, "ed25519"), filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	short := keyFile(t, "rsa", "-pkeyopt", "rsa_keygen_bits:1024")
	var static, secretless tokenConfig
	static.Static.File = empty
	secretless.HTTP.URL, secretless.HTTP.ClientSecretFile = "https://auth.example.com", empty
	broken := secretless
	broken.HTTP.ClientSecretFile, broken.HTTP.CAFile = good, good
	for name, test := range map[string]struct {
		c    tokenConfig
		want string
	}{
		"no file":      {signing(good + "x"), "token.jwt.key_file: " + good + "x: no such file or directory"},
		"empty":        {signing(empty), "token.jwt.key_file: " + empty + ": it is empty; make one with: openssl genpkey -algorithm ed25519 -out token-key.pem"},
		"short":        {signing(short), "token.jwt.key_file: " + short + ": it is an RSA key of 1024 bits"},
		"published":    {signing(good, good, empty), "token.jwt.public_key_files: " + empty + ": it is empty"},
		"static":       {static, "token.static.file: " + empty + " is empty"},
		"no secret":    {secretless, "token.http.client_secret_file: " + empty + " is empty"},
		"no authority": {broken, "token.http.ca_file: " + good + " holds no certificate"},
	} {
		_, err := test.c.open()
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || exitStatus(err, &bytes.Buffer{}) != exitWrongUse {
			t.Errorf("%s: got %v\nwant %s", name, err, test.want)
		}
	}
}
