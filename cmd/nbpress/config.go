package main

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"nbpress/gitsync"
	"nbpress/internal/strict"
	"nbpress/runner/kube"
)

//go:embed agent.schema.json
var agentSchema []byte

// config is nbpress.yaml: read once, checked once; after that it cannot be wrong.
type config struct {
	Repository struct {
		URL        string          `json:"url"`
		Branch     string          `json:"branch"`
		Path       string          `json:"path"`
		Poll       strict.Duration `json:"poll"`
		Credential credential      `json:"credential"`
		Webhook    webhookSecret   `json:"webhook"`
	} `json:"repository"`
	Ledger struct {
		URL        string      `json:"url"`
		Web        gitsync.Web `json:"web"`
		Credential credential  `json:"credential"`
		Author     struct {
			Name  string `json:"name"`
			Email string `json:"email"`
		} `json:"author"`
		Traceback string `json:"traceback"`
	} `json:"ledger"`
	Store    storeConfig `json:"store"`
	Executor struct {
		Slots     int `json:"slots"`
		PerReport int `json:"per_report"`
		Local     struct {
			Python string `json:"python"`
			Dir    string `json:"dir"`
		} `json:"local"`
		Kubernetes *kubernetesConfig `json:"kubernetes"` // nil: local
	} `json:"executor"`
	Pages struct {
		ContentSecurity *bool  `json:"content_security"`
		URL             string `json:"url"`
	} `json:"pages"`
	Secrets map[string]secretConfig `json:"secrets"`
	Env     map[string]envConfig    `json:"env"`

	Token  tokenConfig     `json:"token"`
	Listen string          `json:"listen"`
	State  string          `json:"state"`
	Grace  strict.Duration `json:"grace"`
	Log    struct {
		Format string `json:"format"`
		Level  string `json:"level"`
	} `json:"log"`
}

// credential says where the parts of a gitsync.Auth are.
type credential struct {
	User         string `json:"user"`
	PasswordFile string `json:"password_file"`
	PasswordEnv  string `json:"password_env"`
	KeyFile      string `json:"key_file"`
	KnownHosts   string `json:"known_hosts"`
}

// webhookSecret says where the secret is that the repository's host knows.
type webhookSecret struct {
	SecretFile string `json:"secret_file"`
	SecretEnv  string `json:"secret_env"`
}

// readConfig reads nbpress.yaml. All of its mistakes are in one error.
func readConfig(path string) (config, error) {
	c := config{}
	data, err := os.ReadFile(path)
	if err != nil {
		return c, wrongUse(fmt.Errorf("%w; write one, docs/operations.md shows how, or name it with --config", err))
	}
	schema, err := strict.Compile(agentSchema)
	if err != nil {
		return c, err
	}
	doc, problems := strict.ParseYAML(path, data)
	problems = append(problems, doc.Into(schema, &c)...)
	problems = append(problems, c.contradictions(doc)...)
	if len(problems) > 0 {
		var errs []error
		for _, p := range strict.Sort(problems) {
			errs = append(errs, errors.New(p.String()))
		}
		return c, wrongUse(fmt.Errorf("the configuration is wrong:\n%w", errors.Join(errs...)))
	}
	c.complete(filepath.Dir(path))
	return c, nil
}

// contradictions are the mistakes that a schema cannot see.
func (c *config) contradictions(doc *strict.Document) []strict.Problem {
	var problems []strict.Problem
	for _, at := range []struct {
		pointer string
		credential
	}{{"/repository/credential", c.Repository.Credential}, {"/ledger/credential", c.Ledger.Credential}} {
		if at.PasswordFile != "" && at.PasswordEnv != "" {
			problems = append(problems, doc.AtKey(at.pointer+"/password_env").Problem(
				`"password_file" and "password_env" are both given`, "keep one of them"))
		}
	}
	for pointer, address := range map[string]string{
		"/repository/url": c.Repository.URL, "/ledger/url": c.Ledger.URL, "/ledger/web": string(c.Ledger.Web), "/pages/url": c.Pages.URL,
	} {
		parsed, err := url.Parse(address)
		if err != nil { // host:path, or a folder: neither holds a password
			continue
		}
		if _, secret := parsed.User.Password(); secret {
			problems = append(problems, doc.At(pointer).Problem(
				"the address holds a password, which would stand in files and logs", `put it into a file and name that in "credential": "password_file"`))
		}
	}
	problems = append(problems, c.webhookProblems(doc)...)
	problems = append(problems, c.Store.problems(doc)...)
	problems = append(problems, c.Token.problems(doc)...)
	problems = append(problems, c.kubernetesProblems(doc)...)
	problems = append(problems, c.grantProblems(doc)...)
	if c.Executor.PerReport > c.Executor.Slots && c.Executor.Slots > 0 {
		problems = append(problems, doc.At("/executor/per_report").Problem(
			`"per_report" is more than "slots"`, "it can be as much at most"))
	}
	return problems
}

// webhookProblems are the mistakes of who is listened to, and where.
func (c *config) webhookProblems(doc *strict.Document) []strict.Problem {
	const webhook = "/repository/webhook"
	var problems []strict.Problem
	if c.Listen != "" {
		if _, port, err := net.SplitHostPort(c.Listen); err != nil || !isPort(port) {
			problems = append(problems, doc.At("/listen").Problem(
				fmt.Sprintf("%q is no address to listen on", c.Listen), `write host and port, such as "127.0.0.1:8080", or ":8080" for all of this machine's`))
		}
	}
	if doc.Lacks(webhook) {
		return problems
	}
	if doc.Lacks("/listen") {
		problems = append(problems, doc.AtKey(webhook).Problem(
			"a webhook is expected, and nothing listens", `add "listen" with an address that the repository's host can reach, such as "127.0.0.1:8080" behind a proxy`))
	}
	if !doc.Lacks(webhook+"/secret_file") && !doc.Lacks(webhook+"/secret_env") {
		problems = append(problems, doc.AtKey(webhook+"/secret_env").Problem(
			`"secret_file" and "secret_env" are both given`, "keep one of them"))
	}
	if len(doc.Keys(webhook)) == 0 && doc.Has(webhook) {
		problems = append(problems, doc.AtKey(webhook).Problem(
			"the webhook has no secret, so that anybody could ring it", `name a file that holds one in "secret_file", or a variable in "secret_env"`))
	}
	return problems
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// complete fills in defaults and makes paths absolute.
func (c *config) complete(dir string) {
	c.Repository.Poll = cmp.Or(c.Repository.Poll, strict.Duration(30*time.Second))
	c.Ledger.Traceback = cmp.Or(c.Ledger.Traceback, "full")
	if c.Ledger.URL == "" {
		c.Ledger.URL = c.Repository.URL
		c.Ledger.Credential = cmp.Or(c.Ledger.Credential, c.Repository.Credential)
	}
	c.State = cmp.Or(c.State, "nbpress-state")
	c.Pages.URL = strings.TrimRight(c.Pages.URL, "/")
	c.Ledger.Web = cmp.Or(c.Ledger.Web, gitsync.WebOf(c.Ledger.URL))
	for _, address := range []*string{&c.Repository.URL, &c.Ledger.URL} {
		if !strings.Contains(*address, ":") { // a folder, not a URL and not host:path
			*address = under(dir, *address)
		}
	}
	for _, path := range []*string{
		&c.Store.Dir, &c.Store.S3.CAFile, &c.State, &c.Executor.Local.Dir,
		&c.Repository.Credential.PasswordFile, &c.Repository.Credential.KeyFile, &c.Repository.Credential.KnownHosts,
		&c.Ledger.Credential.PasswordFile, &c.Ledger.Credential.KeyFile, &c.Ledger.Credential.KnownHosts,
		&c.Repository.Webhook.SecretFile,
	} {
		*path = under(dir, *path)
	}
	if k := c.Executor.Kubernetes; k != nil {
		k.complete(dir)
		c.Executor.Slots = cmp.Or(c.Executor.Slots, kube.DefaultSlots)
	}
	for name, s := range c.Secrets {
		s.Path = under(dir, s.Path)
		c.Secrets[name] = s
	}
	c.Token.complete(dir)
	if python := c.Executor.Local.Python; strings.Contains(python, "/") {
		c.Executor.Local.Python = under(dir, python)
	}
}

// private lists the paths that no notebook may see.
func (c config) private() []string {
	paths := []string{c.State}
	for _, address := range []string{c.Repository.URL, c.Ledger.URL} {
		if filepath.IsAbs(address) {
			paths = append(paths, address)
		}
	}
	for _, at := range []credential{c.Repository.Credential, c.Ledger.Credential} {
		paths = append(paths, at.PasswordFile, at.KeyFile)
	}
	for _, s := range c.Secrets {
		paths = append(paths, s.Path)
	}
	paths = append(paths, c.Token.private()...)
	return append(append(paths, c.Repository.Webhook.SecretFile), c.Store.private()...)
}

// under makes a path absolute, counted from dir; "" stays "".
func under(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	abs, err := filepath.Abs(filepath.Join(dir, path))
	if err != nil { // the working directory is gone: the path will fail where it is used
		return filepath.Join(dir, path)
	}
	return abs
}

// auth reads the credential's secrets.
func (c credential) auth() (gitsync.Auth, error) {
	password, err := secretFrom("password", c.PasswordFile, c.PasswordEnv)
	return gitsync.Auth{User: c.User, Key: c.KeyFile, KnownHosts: c.KnownHosts, Password: password}, err
}

// read reads the secret; "" where there is no webhook.
func (w webhookSecret) read() (string, error) { return secretFrom("secret", w.SecretFile, w.SecretEnv) }

// secretFrom reads a secret from a file or a variable, "" where neither is named. The
// keys that name them begin with key.
func secretFrom(key, file, variable string) (string, error) {
	switch {
	case file != "":
		data, err := os.ReadFile(file)
		if err != nil {
			return "", wrongUse(fmt.Errorf("%s_file: %w", key, err))
		}
		secret := strings.TrimSpace(string(data))
		if secret == "" {
			return "", wrongUse(fmt.Errorf("%s_file: %s is empty", key, file))
		}
		return secret, nil
	case variable != "":
		secret := os.Getenv(variable)
		if secret == "" {
			return "", wrongUse(fmt.Errorf("%s_env: the environment has no %s", key, variable))
		}
		return secret, nil
	}
	return "", nil
}

// logger returns the agent's log.
func (c config) logger(out io.Writer) *slog.Logger {
	var level slog.Level // info
	if err := level.UnmarshalText([]byte(cmp.Or(c.Log.Level, "info"))); err != nil {
		panic(err) // the schema lists the levels
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}
