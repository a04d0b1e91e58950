package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// minRSA is the shortest RSA key, in bits, that RFC 7518 section 3.3 allows.
const minRSA = 2048

// makeKey tells how to make what was expected.
const makeKey = "make one with: openssl genpkey -algorithm ed25519 -out token-key.pem"

// parsePrivate reads a key that signs: PEM, Ed25519 or RSA, without a passphrase.
func parsePrivate(data []byte) (jose.JSONWebKey, error) {
	block, err := onlyBlock(data)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") || block.Type == "ENCRYPTED PRIVATE KEY" {
		return jose.JSONWebKey{}, errors.New("the key has a passphrase, which nobody is there to type; remove it with: openssl pkey -in KEY -out token-key.pem")
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return jose.JSONWebKey{}, errors.New("it is an elliptic curve key, which signs neither EdDSA nor RS256; " + makeKey)
	case "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE":
		return jose.JSONWebKey{}, fmt.Errorf("it holds a public key (%s), which cannot sign; name the private one", block.Type)
	default:
		return jose.JSONWebKey{}, fmt.Errorf("it holds %q, not a PRIVATE KEY; %s", block.Type, makeKey)
	}
	if err != nil {
		return jose.JSONWebKey{}, errors.New("the key in it is damaged, or of a kind that is not known; " + makeKey)
	}
	return asJWK(key)
}

// parsePublic reads a key that is only published: a public one, or the private one that it
// belongs to.
func parsePublic(data []byte) (jose.JSONWebKey, error) {
	block, err := onlyBlock(data)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	if block.Type != "PUBLIC KEY" {
		private, err := parsePrivate(data)
		return private.Public(), err
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return jose.JSONWebKey{}, errors.New("the key in it is damaged, or of a kind that is not known")
	}
	return asJWK(key)
}

// onlyBlock returns the one PEM block of a file.
func onlyBlock(data []byte) (*pem.Block, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("it is empty; " + makeKey)
	}
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New("it is no PEM file (-----BEGIN PRIVATE KEY-----); " + makeKey)
	}
	if another, _ := pem.Decode(rest); another != nil {
		return nil, errors.New("it holds more than one key; put each into a file of its own")
	}
	return block, nil
}

// asJWK names a key by its thumbprint of RFC 7638, and its algorithm.
func asJWK(key any) (jose.JSONWebKey, error) {
	jwk := jose.JSONWebKey{Key: key, Use: "sig"}
	switch key := key.(type) {
	case ed25519.PrivateKey, ed25519.PublicKey:
		jwk.Algorithm = string(jose.EdDSA)
	case *rsa.PrivateKey:
		jwk.Algorithm = string(jose.RS256)
		if err := checkRSA(&key.PublicKey); err != nil {
			return jose.JSONWebKey{}, err
		}
	case *rsa.PublicKey:
		jwk.Algorithm = string(jose.RS256)
		if err := checkRSA(key); err != nil {
			return jose.JSONWebKey{}, err
		}
	case *ecdsa.PrivateKey, *ecdsa.PublicKey:
		return jose.JSONWebKey{}, errors.New("it is an elliptic curve key, which signs neither EdDSA nor RS256; " + makeKey)
	default:
		return jose.JSONWebKey{}, fmt.Errorf("it is neither an Ed25519 nor an RSA key; %s", makeKey)
	}
	print, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(print)
	return jwk, nil
}

func checkRSA(key *rsa.PublicKey) error {
	if bits := key.N.BitLen(); bits < minRSA {
		return fmt.Errorf("it is an RSA key of %d bits, and RS256 wants %d at least; %s", bits, minRSA, makeKey)
	}
	return nil
}
