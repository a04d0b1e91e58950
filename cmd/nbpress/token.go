package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nbpress/internal/strict"
	"nbpress/runner"
	"nbpress/runner/report"
	"nbpress/runner/token"
)

// tokenConfig is the configuration's `token`: what mints tokens, by their kind.
type tokenConfig struct {
	Static struct {
		File    string    `json:"file"`
		Env     string    `json:"env"`
		Reports reportSet `json:"reports"`
	} `json:"static"`
	JWT struct {
		KeyFile        string    `json:"key_file"`
		PublicKeyFiles []string  `json:"public_key_files"`
		Algorithm      string    `json:"algorithm"`
		Issuer         string    `json:"issuer"`
		Audience       string    `json:"audience"`
		Reports        reportSet `json:"reports"`
	} `json:"jwt"`
	HTTP struct {
		URL              string            `json:"url"`
		ClientID         string            `json:"client_id"`
		ClientSecretFile string            `json:"client_secret_file"`
		ClientSecretEnv  string            `json:"client_secret_env"`
		SecretIn         string            `json:"secret_in"`
		Scopes           []string          `json:"scopes"`
		Parameters       map[string]string `json:"parameters"`
		Exchange         bool              `json:"exchange"`
		RevokeURL        string            `json:"revoke_url"`
		Timeout          strict.Duration   `json:"timeout"`
		CAFile           string            `json:"ca_file"`
		Reports          reportSet         `json:"reports"`
	} `json:"http"`
}

// problems are the mistakes that a schema cannot see.
func (c tokenConfig) problems(doc *strict.Document) []strict.Problem {
	var problems []strict.Problem
	wrong := func(at strict.Position, what, do string) { problems = append(problems, at.Problem(what, do)) }
	oneOf := func(at, file, env string) {
		hasFile, hasEnv := !doc.Lacks(at+"/"+file), !doc.Lacks(at+"/"+env)
		switch {
		case !doc.Has(at): // there is none, or the schema says what is wrong
		case hasFile && hasEnv:
			wrong(doc.AtKey(at+"/"+env), fmt.Sprintf("%q and %q are both given", file, env), "keep one of them")
		case !hasFile && !hasEnv:
			wrong(doc.AtKey(at), fmt.Sprintf("neither %q nor %q is given", file, env), fmt.Sprintf("name a file that holds it in %q, or a variable in %q", file, env))
		}
	}
	oneOf("/token/static", "file", "env")
	oneOf("/token/http", "client_secret_file", "client_secret_env")
	for key, address := range map[string]string{"url": c.HTTP.URL, "revoke_url": c.HTTP.RevokeURL} {
		if what, do := endpointProblem(address); what != "" {
			wrong(doc.At("/token/http/"+key), what, do)
		}
	}
	for name := range c.HTTP.Parameters {
		if slices.Contains(ownParameters[:], name) {
			wrong(doc.AtKey(strict.Pointer("token", "http", "parameters", name)), fmt.Sprintf("the endpoint gets %q from nbpress itself", name), "remove it")
		}
	}
	if c.HTTP.Exchange && doc.Lacks("/token/jwt") {
		wrong(doc.At("/token/http/exchange"), "there is no token to exchange", `add "jwt" to "token": what it signs is exchanged`)
	}
	for kind, reports := range map[string]reportSet{report.TokenStatic: c.Static.Reports, report.TokenJWT: c.JWT.Reports, report.TokenHTTP: c.HTTP.Reports} {
		problems = append(problems, reports.problems(doc, strict.Pointer("token", kind))...)
	}
	return problems
}

// ownParameters are the fields of a request for a token that have a key of their own, or
// say what run it is for.
var ownParameters = [...]string{
	"client_id", "client_secret", "grant_type", "scope", "subject_token", "subject_token_type",
	"run", "generation", "attempt", "report", "asset", "from_day", "to_day", "languages", "expires_at",
}

// endpointProblem says what is wrong with an endpoint's address.
func endpointProblem(address string) (what, do string) {
	u, err := url.Parse(address)
	switch {
	case address == "":
	case err != nil || u.Host == "":
		return fmt.Sprintf("%q is no address", address), `write one such as "https://auth.example.com/oauth/token"`
	case u.User != nil:
		return "the address holds a password, which would stand in files and logs", `write the client into "client_id" and "client_secret_file"`
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return "the client's secret and the tokens would go over the network for all to read", "write an address that begins with https://"
	}
	return "", ""
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// complete makes paths absolute.
func (c *tokenConfig) complete(dir string) {
	for _, path := range []*string{&c.Static.File, &c.JWT.KeyFile, &c.HTTP.ClientSecretFile, &c.HTTP.CAFile} {
		*path = under(dir, *path)
	}
	for i := range c.JWT.PublicKeyFiles {
		c.JWT.PublicKeyFiles[i] = under(dir, c.JWT.PublicKeyFiles[i])
	}
}

// private lists the paths that no notebook may see.
func (c tokenConfig) private() []string {
	return []string{c.Static.File, c.JWT.KeyFile, c.HTTP.ClientSecretFile}
}

// tokens mint what reports ask for. The zero value has none for anybody.
type tokens struct {
	minters map[string]runner.Minter // by kind
	reports map[string]reportSet     // who may have a token of a kind; nil: all
	signer  *token.Signer            // nil: nothing is signed
}

// open reads keys and secrets.
func (c tokenConfig) open() (tokens, error) {
	t := tokens{minters: map[string]runner.Minter{}, reports: map[string]reportSet{
		report.TokenStatic: c.Static.Reports, report.TokenJWT: c.JWT.Reports, report.TokenHTTP: c.HTTP.Reports,
	}}
	if c.Static.File != "" || c.Static.Env != "" {
		static := tokenFrom("token.static.", c.Static.File, c.Static.Env)
		if _, err := static(); err != nil {
			return t, wrongUse(err)
		}
		t.minters[report.TokenStatic] = static
	}
	var err error
	if c.JWT.KeyFile != "" {
		if t.signer, err = c.signer(); err != nil {
			return t, wrongUse(err)
		}
		t.minters[report.TokenJWT] = t.signer
	}
	if c.HTTP.URL != "" {
		if t.minters[report.TokenHTTP], err = c.endpoint(t.signer); err != nil {
			return t, wrongUse(err)
		}
	}
	return t, nil
}

// tokenFrom is the token of a file, read for each run, or of a variable.
func tokenFrom(key, file, variable string) token.Static {
	return func() (string, error) {
		if file == "" {
			value := os.Getenv(variable)
			if value == "" {
				return "", fmt.Errorf("%senv: the environment has no %s", key, variable)
			}
			return value, nil
		}
		value, err := readSecretFile(file)
		if err != nil {
			return "", fmt.Errorf("%sfile: %w", key, err)
		}
		return strings.TrimSpace(value), nil
	}
}

func (c tokenConfig) signer() (*token.Signer, error) {
	read := func(key, path string) ([]byte, error) {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("token.jwt.%s: %s", key, brief(err))
		}
		return data, nil
	}
	key, err := read("key_file", c.JWT.KeyFile)
	if err != nil {
		return nil, err
	}
	o := token.SignerOptions{Algorithm: c.JWT.Algorithm, Issuer: c.JWT.Issuer, Audience: c.JWT.Audience}
	for _, path := range c.JWT.PublicKeyFiles {
		data, err := read("public_key_files", path)
		if err != nil {
			return nil, err
		}
		o.Published = append(o.Published, data)
	}
	signer, err := token.NewSigner(key, o)
	var wrong *token.KeyError
	switch {
	case errors.As(err, &wrong) && wrong.Published >= 0:
		return nil, fmt.Errorf("token.jwt.public_key_files: %s: %w", c.JWT.PublicKeyFiles[wrong.Published], err)
	case err != nil:
		return nil, fmt.Errorf("token.jwt.key_file: %s: %w", c.JWT.KeyFile, err)
	}
	return signer, nil
}

func (c tokenConfig) endpoint(signer *token.Signer) (*token.Endpoint, error) {
	secret, err := secretFrom("token.http.client_secret", c.HTTP.ClientSecretFile, c.HTTP.ClientSecretEnv)
	if err != nil {
		return nil, err
	}
	o := token.EndpointOptions{
		ClientID: c.HTTP.ClientID, ClientSecret: secret, SecretInBody: c.HTTP.SecretIn == "body", Scopes: c.HTTP.Scopes,
		Parameters: c.HTTP.Parameters, RevokeURL: c.HTTP.RevokeURL, Timeout: time.Duration(c.HTTP.Timeout),
	}
	if c.HTTP.Exchange {
		o.Exchange = signer
	}
	if c.HTTP.CAFile != "" {
		data, err := os.ReadFile(c.HTTP.CAFile)
		if err != nil {
			return nil, fmt.Errorf("token.http.ca_file: %s", brief(err))
		}
		o.Roots = x509.NewCertPool()
		if !o.Roots.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("token.http.ca_file: %s holds no certificate (-----BEGIN CERTIFICATE-----)", c.HTTP.CAFile)
		}
	}
	return token.NewEndpoint(c.HTTP.URL, o), nil
}

// minter is a runner.Tokens.
func (t tokens) minter(name, kind string) (runner.Minter, error) {
	minter, reports := t.minters[kind], t.reports[kind]
	switch {
	case minter == nil:
		return nil, fmt.Errorf(`config.json asks for a token (%s), and the operator's nbpress.yaml has no "%s" below "token"`, kind, kind)
	case reports != nil && !reports.has(name):
		return nil, fmt.Errorf(`tokens (%s) are not granted to %s: in the operator's nbpress.yaml their "reports" need the name`, kind, name)
	}
	return minter, nil
}

// serveKeys answers with the keys that our tokens are checked with.
func (t tokens) serveKeys(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(t.signer.JWKS())
}

// jwksPath is where verifiers look for the keys of an issuer.
const jwksPath = "/.well-known/jwks.json"

func jwksCommand(std streams) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "jwks",
		Short: "Print the public keys that the agent's tokens are checked with",
		Long: `Print the public keys that the runs' tokens are checked with, as a JSON Web Key Set: the
signing one first, then those of token.jwt.public_key_files. The agent serves the same at
` + jwksPath + ` of its address.`,
		Example: `  nbpress jwks --config nbpress.yaml > jwks.json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := readConfig(path)
			if err != nil {
				return err
			}
			if c.Token.JWT.KeyFile == "" {
				return wrongUse(fmt.Errorf("%s signs no tokens: it has no token.jwt", path))
			}
			signer, err := c.Token.signer()
			if err != nil {
				return wrongUse(err)
			}
			_, err = std.out.Write(signer.JWKS())
			return err
		},
	}
	cmd.Flags().StringVar(&path, "config", "nbpress.yaml", "the configuration")
	return cmd
}

const tokenUsage = "the run's token, where its report asks for one: env:NAME takes an environment variable, file:PATH a file"

// flagTokens returns what mints the token of --token: whatever kind a report asks for, it
// gets that.
func flagTokens(flag string) (runner.Tokens, error) {
	kind, name, _ := strings.Cut(flag, ":")
	static := tokenFrom("--token ", "", name)
	switch {
	case flag == "":
		return func(_, kind string) (runner.Minter, error) {
			return nil, fmt.Errorf("config.json asks for a token (%s): give one with --token env:NAME, which takes an environment variable, or with --token file:PATH", kind)
		}, nil
	case kind == "file" && name != "":
		static = tokenFrom("--token ", name, "")
	case kind != "env" || name == "":
		return nil, errors.New("--token: write env:NAME or file:PATH; a token itself would stand in the shell's history and in the list of processes")
	}
	if _, err := static(); err != nil {
		return nil, err
	}
	return func(string, string) (runner.Minter, error) { return static, nil }, nil
}
