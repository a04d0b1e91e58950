package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

const secret = "It's a Secret to Everybody" // of GitHub's page on validating deliveries

// heard is what a handler did.
type heard struct {
	pushes  int
	counted []string
}

func (h *heard) handler(t testing.TB) *Handler {
	t.Helper()
	handler, err := New(secret, func() { h.pushes++ }, Options{
		Ignore: func(ref string) bool { return strings.HasPrefix(ref, "refs/heads/runs/") },
		Count:  func(p Provider, o Outcome) { h.counted = append(h.counted, string(p)+" "+string(o)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

func sum(algorithm func() hash.Hash, key, body string) string {
	mac := hmac.New(algorithm, []byte(key))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// payload returns the body that a host sends for a push, as its manual shows it.
func payload(t testing.TB, name, ref string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), "REF", ref)
}

// The headers that the three send, with a secret of theirs.

func gitHub(event, key, body string) map[string]string {
	return map[string]string{
		"Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/044aadd", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
		"X-GitHub-Event": event, "X-GitHub-Hook-ID": "292430182", "X-GitHub-Hook-Installation-Target-Type": "repository",
		"X-Hub-Signature": "sha1=" + sum(sha1.New, key, body), "X-Hub-Signature-256": "sha256=" + sum(sha256.New, key, body),
	}
}

func gitLab(event, key, _ string) map[string]string {
	return map[string]string{
		"Content-Type": "application/json", "User-Agent": "GitLab/17.9.0-pre", "X-Gitlab-Instance": "https://gitlab.example.com",
		"X-Gitlab-Event": event, "X-Gitlab-Event-UUID": "13792a34-cac6-4fda-95a8-c58e00a3954e", "X-Gitlab-Token": key,
	}
}

func gitea(event, key, body string) map[string]string {
	return map[string]string{
		"Content-Type": "application/json", "X-Gitea-Delivery": "f6266f16-1bf3-46a5-9ea4-602e06ead473",
		"X-Gitea-Event": event, "X-Gitea-Event-Type": event, "X-Gitea-Signature": sum(sha256.New, key, body),
		"X-Gogs-Event": event, "X-Gogs-Signature": sum(sha256.New, key, body), "X-GitHub-Event": event,
		"X-Hub-Signature": "sha1=" + sum(sha1.New, key, body), "X-Hub-Signature-256": "sha256=" + sum(sha256.New, key, body),
	}
}

func with(headers map[string]string, name, value string) map[string]string {
	if headers[name] = value; value == "" {
		delete(headers, name)
	}
	return headers
}

func TestHandler_AnswersDeliveries(t *testing.T) {
	var (
		main, own     = "refs/heads/main", "refs/heads/runs/2026-11"
		hub, lab, tea = payload(t, "github", main), payload(t, "gitlab", main), payload(t, "gitea", main)
		form          = "payload=" + url.QueryEscape(payload(t, "github", own))
		long          = `{"ref": "` + main + `", "commits": "` + strings.Repeat("x", maxHead) + `"}`
		longForm      = "payload=" + url.QueryEscape(payload(t, "github", own)+strings.Repeat("ü", maxHead))
	)
	for _, tc := range []struct {
		name    string
		headers map[string]string
		body    string
		status  int
		count   string // what is counted; pushes are heard where it is "accepted"
	}{
		{"GitHub's push", gitHub("push", secret, hub), hub, 202, "github accepted"},
		{"GitLab's push", gitLab("Push Hook", secret, lab), lab, 202, "gitlab accepted"},
		{"Gitea's push", gitea("push", secret, tea), tea, 202, "gitea accepted"},
		{"GitHub's test vector", with(gitHub("push", secret, ""), "X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), "Hello, World!", 202, "github accepted"},
		{"the test vector in capitals", with(gitHub("push", secret, ""), "X-Hub-Signature-256", "sha256=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17"), "Hello, World!", 202, "github accepted"},
		{"a body longer than what is kept", gitHub("push", secret, long), long, 202, "github accepted"},
		{"a body of nothing", gitHub("push", secret, ""), "", 202, "github accepted"},

		{"our own push, from GitHub", gitHub("push", secret, payload(t, "github", own)), payload(t, "github", own), 200, "github ignored"},
		{"our own push, from GitLab", gitLab("Push Hook", secret, ""), payload(t, "gitlab", own), 200, "gitlab ignored"},
		{"our own push, from Gitea", gitea("push", secret, payload(t, "gitea", own)), payload(t, "gitea", own), 200, "gitea ignored"},
		{"our own push, as a form", with(gitHub("push", secret, form), "Content-Type", "application/x-www-form-urlencoded"), form, 200, "github ignored"},
		{"our own push, as a long form", with(gitHub("push", secret, longForm), "Content-Type", "application/x-www-form-urlencoded"), longForm, 200, "github ignored"},
		{"GitHub's ping", gitHub("ping", secret, `{"zen": "Keep it logically awesome."}`), `{"zen": "Keep it logically awesome."}`, 200, "github ignored"},
		{"GitLab's tag", gitLab("Tag Push Hook", secret, ""), lab, 200, "gitlab ignored"},
		{"Gitea's issue", gitea("issues", secret, tea), tea, 200, "gitea ignored"},

		{"GitHub with another secret", gitHub("push", "guess", hub), hub, 403, "github refused"},
		{"GitLab with another secret", gitLab("Push Hook", "guess", lab), lab, 403, "gitlab refused"},
		{"GitLab with the beginning of the secret", gitLab("Push Hook", secret[:len(secret)-1], lab), lab, 403, "gitlab refused"},
		{"Gitea with another secret", gitea("push", "guess", tea), tea, 403, "gitea refused"},
		{"GitHub with another body", gitHub("push", secret, hub), hub + " ", 403, "github refused"},
		{"Gitea with another body", gitea("push", secret, tea), tea + " ", 403, "gitea refused"},
		{"a forged ping", gitHub("ping", "guess", hub), hub, 403, "github refused"},
		{"our own push, forged", gitHub("push", "guess", payload(t, "github", own)), payload(t, "github", own), 403, "github refused"},
		{"GitHub without a secret", with(with(gitHub("push", "", hub), "X-Hub-Signature-256", ""), "X-Hub-Signature", ""), hub, 401, "github refused"},
		{"GitLab without a secret", gitLab("Push Hook", "", lab), lab, 401, "gitlab refused"},
		{"Gitea without a secret", with(gitea("push", "", tea), "X-Gitea-Signature", ""), tea, 401, "gitea refused"},
		{"SHA-1 alone", with(gitHub("push", secret, hub), "X-Hub-Signature-256", ""), hub, 401, "github refused"},
		{"SHA-1 in SHA-256's place", with(gitHub("push", secret, hub), "X-Hub-Signature-256", "sha1="+sum(sha1.New, secret, hub)), hub, 401, "github refused"},
		{"a sum without its algorithm", with(gitHub("push", secret, hub), "X-Hub-Signature-256", sum(sha256.New, secret, hub)), hub, 401, "github refused"},
		{"a sum that is cut", with(gitHub("push", secret, hub), "X-Hub-Signature-256", "sha256="+sum(sha256.New, secret, hub)[:62]), hub, 401, "github refused"},
		{"a sum that is none", with(gitea("push", secret, tea), "X-Gitea-Signature", "the sum of all"), tea, 401, "gitea refused"},
		{"the secret where a sum belongs", with(gitHub("push", secret, hub), "X-Hub-Signature-256", secret), hub, 401, "github refused"},
		{"GitHub's signature beside a wrong one of Gitea's", with(gitea("push", secret, tea), "X-Gitea-Signature", sum(sha256.New, "guess", tea)), tea, 403, "gitea refused"},
		{"nobody's headers", map[string]string{"Content-Type": "application/json"}, hub, 401, "unknown refused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var h heard
			r := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(tc.body))
			for name, value := range tc.headers {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			h.handler(t).ServeHTTP(w, r)
			if w.Code != tc.status || !slices.Equal(h.counted, []string{tc.count}) {
				t.Errorf("status %d, counted %q, want %d, %q", w.Code, h.counted, tc.status, tc.count)
			}
			if pushed := strings.HasSuffix(tc.count, " accepted"); pushed != (h.pushes == 1) || h.pushes > 1 {
				t.Errorf("%d pushes heard of", h.pushes)
			}
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("the answer tells the secret: %s", w.Body)
			}
		})
	}
}

func TestHandler_TakesNoOtherMethod(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete} {
		var h heard
		r := httptest.NewRequest(method, "/webhook", nil)
		for name, value := range gitHub("push", secret, "") {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		h.handler(t).ServeHTTP(w, r)
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" || h.pushes+len(h.counted) > 0 {
			t.Errorf("%s: status %d, %+v", method, w.Code, h)
		}
	}
}

// endless is a body of spaces that counts how much of it was read.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func TestHandler_BoundsTheBody(t *testing.T) {
	for _, tc := range []struct {
		name   string
		body   io.Reader
		status int
	}{
		{"without an end", &endless{}, http.StatusRequestEntityTooLarge},
		{"cut off", io.MultiReader(strings.NewReader("{"), iotest.ErrReader(errors.New("connection reset"))), http.StatusBadRequest},
	} {
		var h heard
		r := httptest.NewRequest(http.MethodPost, "/webhook", tc.body)
		for name, value := range gitHub("push", secret, "") {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		h.handler(t).ServeHTTP(w, r)
		if w.Code != tc.status || h.pushes > 0 || !slices.Equal(h.counted, []string{"github broken"}) {
			t.Errorf("a body %s: status %d, %+v", tc.name, w.Code, h)
		}
		if e, ok := tc.body.(*endless); ok && e.read > maxBody+maxHead {
			t.Errorf("a body %s: %d bytes were read", tc.name, e.read)
		}
	}
}

// A forged delivery costs no memory, whatever its length.
func TestHandler_KeepsOnlyTheBeginning(t *testing.T) {
	var h heard
	handler := h.handler(t)
	deliver := func() {
		r := httptest.NewRequest(http.MethodPost, "/webhook", io.LimitReader(&endless{}, 8<<20))
		r.Header.Set("X-Gitlab-Event", "Push Hook")
		r.Header.Set("X-Gitlab-Token", "guess")
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	deliver()
	runtime.ReadMemStats(&after)
	perDelivery := after.TotalAlloc - before.TotalAlloc
	if perDelivery > 8*maxHead {
		t.Errorf("a delivery of 8 MiB takes %d bytes of memory", perDelivery)
	}
}

func TestHandler_ReadsAChunkedBody(t *testing.T) {
	var h heard
	server := httptest.NewServer(h.handler(t))
	defer server.Close()
	body := payload(t, "github", "refs/heads/main")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, iotest.OneByteReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range gitHub("push", secret, body) {
		r.Header.Set(name, value)
	}
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if r.ContentLength > 0 || answer.StatusCode != http.StatusAccepted || h.pushes != 1 {
		t.Errorf("length %d, status %d, %d pushes heard of", r.ContentLength, answer.StatusCode, h.pushes)
	}
}

func TestNew_RefusesAnEmptySecret(t *testing.T) {
	if h, err := New("", func() {}, Options{}); err == nil {
		t.Errorf("New returned %v", h)
	}
}

// FuzzHandler sends anything: a push is heard of only where the secret was known.
func FuzzHandler(f *testing.F) {
	hub := payload(f, "github", "refs/heads/main")
	f.Add("push", "application/json", "sha256="+sum(sha256.New, secret, hub), "", "", []byte(hub))
	f.Add("Push Hook", "application/json", "", "", secret, []byte(payload(f, "gitlab", "refs/heads/runs/status")))
	f.Add("push", "application/x-www-form-urlencoded; charset=utf-8", "", sum(sha256.New, secret, "payload=%7B"), "", []byte("payload=%7B"))
	f.Fuzz(func(t *testing.T, event, contentType, hub, tea, token string, body []byte) {
		deliver := func(headers map[string]string) (heard, int) {
			var h heard
			r := httptest.NewRequest(http.MethodPost, "/webhook", bytes.NewReader(body))
			r.Header = http.Header{"Content-Type": {contentType}}
			for name, value := range headers {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			h.handler(t).ServeHTTP(w, r)
			return h, w.Code
		}
		right := sum(sha256.New, secret, string(body))
		h, status := deliver(map[string]string{
			"X-GitHub-Event": event, "X-Gitea-Event": event, "X-Gitlab-Event": event,
			"X-Hub-Signature-256": hub, "X-Gitea-Signature": tea, "X-Gitlab-Token": token,
		})
		knows := strings.EqualFold(tea, right) || token == secret || strings.EqualFold(hub, "sha256="+right)
		if !knows && (h.pushes > 0 || status < 400) {
			t.Errorf("forged, and status %d", status)
		}
		if len(h.counted) != 1 {
			t.Errorf("counted %q", h.counted)
		}
		if h, status := deliver(map[string]string{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + right}); status >= 400 {
			t.Errorf("genuine, and status %d, %+v", status, h)
		}
	})
}
