package store_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nbpress/internal/testenv/bucket"
	"nbpress/runner/store"
)

// Whatever is wrong with a bucket is said in one line, by Ready and by each call.
func TestS3_SaysWhatIsWrong(t *testing.T) {
	bucket.Setenv(t)
	server := bucket.Start(t)
	secure, authority := secureServer(t)
	// The SDK corrects its clock by the server's; a date that is not the server's misleads it.
	skewed := server.Proxy(t, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		pass.ServeHTTP(&dated{w, time.Now().Add(-time.Hour)}, r)
	})
	redirect := server.Proxy(t, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusMovedPermanently)
		_, _ = w.Write([]byte("<Error><Code>PermanentRedirect</Code><Message>Use the endpoint of eu-north-1.</Message></Error>"))
	})
	for _, test := range []struct {
		name string
		env  map[string]string
		o    store.S3Options
		want string
	}{
		{"no credentials", map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, store.S3Options{Endpoint: server.URL}, "there is no credential that can be used"},
		{"unknown access key", map[string]string{"AWS_ACCESS_KEY_ID": "somebody"}, store.S3Options{Endpoint: server.URL}, "check AWS_ACCESS_KEY_ID"},
		{"wrong secret", map[string]string{"AWS_SECRET_ACCESS_KEY": "wrong"}, store.S3Options{Endpoint: server.URL}, "the secret key is wrong (SignatureDoesNotMatch)"},
		{"no bucket", nil, store.S3Options{Endpoint: server.URL, Bucket: "elsewhere"}, "there is no such bucket"},
		{"wrong region", nil, store.S3Options{Endpoint: server.URL, Region: "mars-1"}, "the bucket is in another region (AuthorizationHeaderMalformed; "},
		{"another region", nil, store.S3Options{Endpoint: redirect}, "the bucket is in another region (PermanentRedirect; "},
		{"clock", nil, store.S3Options{Endpoint: skewed}, "the clocks of this machine and of the server differ too much"},
		{"nobody there", nil, store.S3Options{Endpoint: "http://127.0.0.1:1"}, "the server cannot be reached: connect: connection refused"},
		{"certificate of nobody", nil, store.S3Options{Endpoint: secure.URL}, "name its authority in ca_file"},
		{"certificate of another", nil, store.S3Options{Endpoint: strings.Replace(secure.URL, "127.0.0.1", "localhost", 1), CAFile: authority}, "the server's certificate is for another name"},
		{"no TLS", nil, store.S3Options{Endpoint: strings.Replace(server.URL, "http:", "https:", 1)}, "the server does not speak TLS at this address"},
		{"well", nil, store.S3Options{Endpoint: server.URL}, ""},
		{"well, with TLS", nil, store.S3Options{Endpoint: secure.URL, CAFile: authority}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			if test.o.Bucket == "" {
				test.o.Bucket = bucket.Bucket
			}
			test.o.PathStyle = true
			s, err := store.OpenS3(t.Context(), test.o)
			if err != nil {
				t.Fatal(err)
			}
			s.Hasten(minPart, 5)
			_ = s.Ready(t.Context()) // the SDK learns the server's clock
			_, getting := s.Get(t.Context(), "runs/x")
			for call, err := range map[string]error{"Ready": s.Ready(t.Context()), "Put": s.Put(t.Context(), "runs/x", nil), "Get": getting} {
				if test.want == "" && (err == nil || call == "Get" && errors.Is(err, fs.ErrNotExist)) {
					continue
				}
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 || test.want == "" {
					t.Errorf("%s: %v\nwant a line with: %s", call, err, test.want)
				}
				if errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrUnfit) {
					t.Errorf("%s: %v is taken for something else", call, err)
				}
			}
		})
	}
}

// Why a write is refused is heard the first time, however long the answer is: this one has
// more than is read in one go, and comes when the request has barely been sent.
func TestS3_HearsWhyAWriteIsRefused(t *testing.T) {
	bucket.Setenv(t)
	server := bucket.Start(t)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	s := open(t, server.URL, "")
	s.Hasten(minPart, 1)
	for range 200 {
		if err := s.Put(t.Context(), "runs/x", nil); err == nil || !strings.Contains(err.Error(), "(SignatureDoesNotMatch)") {
			t.Fatalf("Put() = %v", err)
		}
	}
}

// What a server says of a refusal is a line in logs, however much it says, and whatever.
func TestS3_SaysNoMoreThanALine(t *testing.T) {
	bucket.Setenv(t)
	long := strings.Repeat("x y\n\u202e\t", 100_000)
	for name, answer := range map[string]string{
		"message": "<Error><Code>Odd</Code><Message>" + long + "</Message></Error>",
		"code":    "<Error><Code>" + long + "</Code><Message>odd</Message></Error>",
	} {
		for _, status := range []int{http.StatusBadRequest, http.StatusForbidden} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = w.Write([]byte(answer))
			}))
			t.Cleanup(server.Close)
			_, err := open(t, server.URL, "").Get(t.Context(), "runs/x")
			if err == nil || len(err.Error()) > 450 || strings.ContainsAny(err.Error(), "\n\t\u202e") || !strings.Contains(err.Error(), fmt.Sprintf("status %d", status)) {
				t.Errorf("%s, status %d: %.2000q", name, status, fmt.Sprint(err))
			}
		}
	}
}

// dated gives an answer another date.
type dated struct {
	http.ResponseWriter
	at time.Time
}

func (d *dated) WriteHeader(status int) {
	d.Header().Set("Date", d.at.UTC().Format(http.TimeFormat))
	d.ResponseWriter.WriteHeader(status)
}

// secureServer starts a server whose certificate is for 127.0.0.1, and returns the file
// with the one who has signed it.
func secureServer(t *testing.T) (*bucket.Server, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: certificate}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}}
	for name, block := range files {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := bucket.Start(t, "--cert", filepath.Join(dir, "cert.pem"), "--key", filepath.Join(dir, "key.pem"))
	server.URL = "https://" + server.Address
	return server, filepath.Join(dir, "cert.pem")
}

// A server that writes over what is there, whatever it is asked, is no store: nothing is
// written to it but the marker that shows it.
func TestS3_RefusesAServerWithoutConditionalWrites(t *testing.T) {
	bucket.Setenv(t)
	server := bucket.Start(t)
	for name, meddle := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"it does not heed the header": func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			r.Header.Del("If-None-Match") // signed; so the proxy signs nothing, and the marker is put by hand
			if r.Method == http.MethodPut {
				w.WriteHeader(http.StatusOK)
				return
			}
			pass.ServeHTTP(w, r)
		},
		"it says that it does not know it": func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(http.StatusNotImplemented)
				_, _ = w.Write([]byte("<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not implemented.</Message></Error>"))
				return
			}
			pass.ServeHTTP(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, server.Proxy(t, meddle), "")
			for call, err := range map[string]error{
				"Ready": s.Ready(t.Context()), "Put": s.Put(t.Context(), "runs/x", nil),
				"Create": s.Create(t.Context(), "runs/x", nil), "Delete": s.Delete(t.Context(), "runs/x"),
			} {
				if !errors.Is(err, store.ErrUnfit) || !strings.Contains(err.Error(), "If-None-Match") {
					t.Errorf("%s: %v, want %v", call, err, store.ErrUnfit)
				}
			}
		})
	}
}

// Who waits only so long is told what was wrong until then, not only that time is up.
func TestS3_SaysWhatWasWrongWhenTimeIsUp(t *testing.T) {
	bucket.Setenv(t)
	server := bucket.Start(t)
	s := open(t, server.URL, "")
	s.Hasten(minPart, 1000)
	server.End()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := s.Get(ctx, "runs/x")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("Get() = %v", err)
	}
	server.Begin()
	s.Hasten(minPart, 9)
	if _, err := s.Get(t.Context(), "runs/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get() = %v once the server is back", err)
	}
}

func TestNewS3Reader_RefusesWhatCannotWork(t *testing.T) {
	bucket.Setenv(t)
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		o    store.S3Options
		want string
	}{
		{store.S3Options{Bucket: "b", Prefix: "../up"}, "no prefix of keys"},
		{store.S3Options{Bucket: "b", CAFile: empty}, "holds no certificate"},
		{store.S3Options{Bucket: "b", CAFile: empty + ".gone"}, "ca_file: open "},
	} {
		if _, err := store.NewS3Reader(t.Context(), test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.o, err, test.want)
		}
	}
	t.Setenv("AWS_REGION", "")
	if _, err := store.NewS3Reader(t.Context(), store.S3Options{Bucket: "b"}); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("without a region: %v", err)
	}
}
