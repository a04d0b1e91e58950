package token_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"nbpress/runner/token"
)

// pemOf returns a key as a file: PKCS #8 for private ones, PKIX for public ones.
func pemOf(t testing.TB, key any) []byte {
	t.Helper()
	name, data, err := "PRIVATE KEY", []byte(nil), error(nil)
	switch key.(type) {
	case ed25519.PublicKey, *rsa.PublicKey, *ecdsa.PublicKey:
		name = "PUBLIC KEY"
		data, err = x509.MarshalPKIXPublicKey(key)
	default:
		data, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: name, Bytes: data})
}

func newEd25519(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rsaKey is one key for all tests, since making one takes long.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// openssl makes a key as an operator does.
func openssl(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "openssl", args...).Output()
	if err != nil {
		t.Fatalf("openssl %v: %v", args, err)
	}
	return out
}

func TestSigner_RefusesWhatIsNoKey(t *testing.T) {
	ed := newEd25519(t)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecOld, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	good := pemOf(t, ed)
	damaged := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("no key")})
	tests := []struct {
		name string
		key  []byte
		o    token.SignerOptions
		want string // in the error
	}{
		{name: "an empty file", key: []byte(" \n"), want: "it is empty"},
		{name: "no PEM", key: []byte("my secret key"), want: "it is no PEM file"},
		{name: "binary DER", key: []byte("\x30\x2e\x02\x01\x00"), want: "it is no PEM file"},
		{name: "a passphrase", key: openssl(t, "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x"), want: "the key has a passphrase"},
		{name: "a passphrase, as OpenSSL wrote it once", key: []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), want: "the key has a passphrase"},
		{name: "the public half", key: pemOf(t, ed.Public()), want: "it holds a public key (PUBLIC KEY), which cannot sign"},
		{name: "a certificate", key: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), want: "it holds a public key (CERTIFICATE)"},
		{name: "a key of ssh", key: pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("x")}), want: `it holds "OPENSSH PRIVATE KEY", not a PRIVATE KEY`},
		{name: "an elliptic curve key", key: pemOf(t, ec), want: "it is an elliptic curve key"},
		{name: "an elliptic curve key, as OpenSSL writes it", key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecOld}), want: "it is an elliptic curve key"},
		{name: "X25519, which agrees on keys", key: openssl(t, "genpkey", "-algorithm", "x25519"), want: "it is neither an Ed25519 nor an RSA key"},
		{name: "a short RSA key", key: openssl(t, "genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024"), want: "1024 bits, and RS256 wants 2048"},
		{name: "damaged", key: damaged, want: "the key in it is damaged"},
		{name: "two keys", key: append(good, good...), want: "it holds more than one key"},
		{name: "not for the algorithm", key: good, o: token.SignerOptions{Algorithm: "RS256"}, want: "it is a key for EdDSA, and the algorithm is to be RS256"},
		{name: "published: empty", key: good, o: token.SignerOptions{Published: [][]byte{nil}}, want: "it is empty"},
		{name: "published: damaged", key: good, o: token.SignerOptions{Published: [][]byte{pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})}}, want: "the key in it is damaged"},
		{name: "published: an elliptic curve key", key: good, o: token.SignerOptions{Published: [][]byte{pemOf(t, ec.Public())}}, want: "it is an elliptic curve key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := token.NewSigner(tt.key, tt.o)
			var wrong *token.KeyError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if published := len(tt.o.Published) > 0; published != (wrong.Published == 0) {
				t.Errorf("the error is of key %d", wrong.Published)
			}
		})
	}
}

// What operators make keys with, and what older tools wrote.
func TestSigner_TakesKeysOfOpenSSL(t *testing.T) {
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey())})
	file := filepath.Join(t.TempDir(), "key.pem")
	openssl(t, "genpkey", "-algorithm", "ed25519", "-out", file)
	for name, key := range map[string][]byte{
		"Ed25519":        openssl(t, "pkey", "-in", file),
		"with text":      openssl(t, "pkey", "-in", file, "-text"),
		"RSA":            pemOf(t, rsaKey()),
		"RSA, PKCS #1":   pkcs1,
		"with a comment": append([]byte("the key of 2026\n"), pemOf(t, newEd25519(t))...),
	} {
		if _, err := token.NewSigner(key, token.SignerOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	public := openssl(t, "pkey", "-in", file, "-pubout")
	s, err := token.NewSigner(openssl(t, "pkey", "-in", file), token.SignerOptions{Published: [][]byte{public, pemOf(t, rsaKey().Public())}})
	if err != nil {
		t.Fatal(err)
	}
	if keys := strings.Count(string(s.JWKS()), `"kid"`); keys != 2 {
		t.Errorf("%d keys are published, want 2, as one was named twice:\n%s", keys, s.JWKS())
	}
}

func FuzzSigner(f *testing.F) {
	f.Add(pemOf(f, newEd25519(f)), []byte(""))
	f.Add(pemOf(f, rsaKey()), pemOf(f, rsaKey().Public()))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), []byte("x"))
	f.Fuzz(func(t *testing.T, key, published []byte) {
		s, err := token.NewSigner(key, token.SignerOptions{Published: [][]byte{published}})
		if err == nil && !strings.Contains(string(s.JWKS()), `"kid"`) {
			t.Error("a signer without a key")
		}
		if err == nil && strings.Contains(string(s.JWKS()), `"d"`) {
			t.Error("a private key is published")
		}
	})
}
