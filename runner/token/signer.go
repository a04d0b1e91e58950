package token

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"nbpress/runner"
)

// SignerOptions say how tokens are signed.
type SignerOptions struct {
	Algorithm string // "EdDSA" or "RS256", which the key then must be for; "" means the key's own
	Issuer    string // iss
	Audience  string // aud; "" means none
	// Published are other keys of JWKS, as PEM: those before, while their tokens live, and
	// those to come.
	Published [][]byte
}

// Signer mints JSON Web Tokens (RFC 7519) that anybody can check with its public keys.
type Signer struct {
	signer jose.Signer
	o      SignerOptions
	jwks   []byte
}

// KeyError is a key that cannot be used.
type KeyError struct {
	Published int // which of SignerOptions.Published it is; -1: the one that signs
	Err       error
}

func (e *KeyError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong with the key.
func (e *KeyError) Unwrap() error { return e.Err }

// NewSigner returns a signer with a private key as PEM. What is wrong with a key is a
// *KeyError.
func NewSigner(key []byte, o SignerOptions) (*Signer, error) {
	private, err := parsePrivate(key)
	if err == nil && o.Algorithm != "" && o.Algorithm != private.Algorithm {
		err = fmt.Errorf("it is a key for %s, and the algorithm is to be %s", private.Algorithm, o.Algorithm)
	}
	if err != nil {
		return nil, &KeyError{-1, err}
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{private.Public()}}
	for i, data := range o.Published {
		public, err := parsePublic(data)
		if err != nil {
			return nil, &KeyError{i, err}
		}
		if len(set.Key(public.KeyID)) == 0 {
			set.Keys = append(set.Keys, public)
		}
	}
	s := &Signer{o: o}
	s.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(private.Algorithm), Key: private}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, &KeyError{-1, err}
	}
	if s.jwks, err = json.MarshalIndent(set, "", "  "); err != nil {
		return nil, err
	}
	s.jwks = append(s.jwks, '\n')
	return s, nil
}

// JWKS returns the public keys as a JSON Web Key Set (RFC 7517), the signing one first.
func (s *Signer) JWKS() []byte { return s.jwks }

// claims is what a token says. The names in the first group are those of RFC 7519.
type claims struct {
	Issuer    string `json:"iss,omitempty"`
	Audience  string `json:"aud,omitempty"`
	Subject   string `json:"sub"`
	ID        string `json:"jti"`
	IssuedAt  int64  `json:"iat"` // Unix seconds, as the two below
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`

	Run        string        `json:"run"`
	Generation int           `json:"generation"`
	Attempt    int           `json:"attempt"`
	Report     string        `json:"report"`
	Asset      string        `json:"asset"`
	Window     runner.Window `json:"window"`
	Languages  []string      `json:"languages"`
}

// Mint implements runner.Minter: the token is good until the run's time is up.
func (s *Signer) Mint(_ context.Context, c runner.Claims) (runner.Token, error) {
	now := time.Now().Unix()
	expires := c.Deadline.Add(time.Second - 1).Unix() // of a second that has begun
	value, err := jwt.Signed(s.signer).Claims(claims{
		Issuer: s.o.Issuer, Audience: s.o.Audience, Subject: c.Report + "/" + c.Asset, ID: rand.Text(),
		IssuedAt: now, NotBefore: now, Expires: expires,
		Run: string(c.Run), Generation: c.Generation, Attempt: c.Attempt,
		Report: c.Report, Asset: c.Asset, Window: c.Window, Languages: c.Languages,
	}).Serialize()
	if err != nil {
		return runner.Token{}, fmt.Errorf("sign a token: %w", err)
	}
	return runner.Token{Value: value, Expires: time.Unix(expires, 0)}, nil
}
