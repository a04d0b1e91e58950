package gitsync

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/file"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
)

// Auth is how to get into a remote. The zero value is nobody over http and the
// user's agent and known hosts over ssh. What the URL itself holds stands behind
// what is given here.
type Auth struct {
	User       string // http: "git" where there is only a Password; ssh: "git"
	Password   string // a password or an access token, for http
	Key        string // path of a private key file, for ssh
	Passphrase string // of Key, "" where it has none
	KnownHosts string // path of a known_hosts file; "" means the user's and the system's
}

// dialTimeout bounds the wait for a connection, so that a machine that swallows packets
// is asked again soon.
const dialTimeout = 5 * time.Second

// dialer returns the transport for an endpoint without credentials, and how to
// authenticate with it.
func (a Auth) dialer(ep *transport.Endpoint, timeout time.Duration) (transport.Transport, transport.AuthMethod, error) {
	switch ep.Protocol {
	case "file":
		return file.DefaultClient, nil, nil
	case "http", "https":
		return httpClient(), a.basic(), nil
	case "ssh":
		method, err := a.publicKey(ep, timeout)
		return gitssh.NewClient(nil), method, err
	default:
		return nil, nil, fmt.Errorf("repository URL: scheme %q is not one of file, http, https, ssh", ep.Protocol)
	}
}

// httpClient follows no redirects: go-git has sent credentials to another host
// that way before.
func httpClient() transport.Transport {
	dialing := http.DefaultTransport.(*http.Transport).Clone()
	dialing.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	plain := &http.Client{Transport: shortErrors{dialing}}
	return githttp.NewClientWithOptions(plain, &githttp.ClientOptions{RedirectPolicy: githttp.NoFollowRedirects})
}

// shortErrors cuts the bodies of answers that are no success, which go-git reads
// to their end.
type shortErrors struct{ http.RoundTripper }

// RoundTrip is http.RoundTripper's.
func (s shortErrors) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := s.RoundTripper.RoundTrip(r)
	if err == nil && answer.StatusCode >= http.StatusMultipleChoices {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, 64<<10), answer.Body}
	}
	return answer, err
}

// basic is HTTP basic authentication, which Git hosts want for tokens as well.
func (a Auth) basic() transport.AuthMethod {
	if a.User == "" && a.Password == "" {
		return nil
	}
	return &githttp.BasicAuth{Username: cmp.Or(a.User, "git"), Password: a.Password}
}

// publicKey reads the key and the known hosts at once, so that what is wrong with
// them is known before the first connection.
func (a Auth) publicKey(ep *transport.Endpoint, timeout time.Duration) (transport.AuthMethod, error) {
	var files []string
	if a.KnownHosts != "" {
		files = []string{a.KnownHosts}
	}
	hosts, err := gitssh.NewKnownHostsDb(files...)
	if err != nil {
		return nil, fmt.Errorf("known hosts %s: %w", a.KnownHosts, err)
	}
	address := net.JoinHostPort(ep.Host, strconv.Itoa(cmp.Or(ep.Port, gitssh.DefaultPort)))
	method := &sshAuth{config: ssh.ClientConfig{
		User:              cmp.Or(a.User, gitssh.DefaultUsername),
		HostKeyCallback:   hosts.HostKeyCallback(),
		HostKeyAlgorithms: hosts.HostKeyAlgorithms(address),
		Timeout:           min(timeout, dialTimeout),
	}}
	if a.Key == "" {
		agent, err := gitssh.NewSSHAgentAuth(method.config.User)
		if err != nil {
			return nil, errors.New("ssh: neither a key file nor an agent is there")
		}
		method.config.Auth = []ssh.AuthMethod{ssh.PublicKeysCallback(agent.Callback)}
		return method, nil
	}
	key, err := gitssh.NewPublicKeysFromFile(method.config.User, a.Key, a.Passphrase)
	if err != nil {
		return nil, fmt.Errorf("ssh key %s: %w", a.Key, err)
	}
	method.config.Auth = []ssh.AuthMethod{ssh.PublicKeys(key.Signer)}
	return method, nil
}

// sshAuth is an ssh configuration made beforehand: go-git's own methods insist on
// the user's known hosts and bound no dialling.
type sshAuth struct{ config ssh.ClientConfig }

func (a *sshAuth) Name() string   { return gitssh.PublicKeysName }
func (a *sshAuth) String() string { return a.Name() }

// ClientConfig returns a copy, since go-git writes into what it gets.
func (a *sshAuth) ClientConfig() (*ssh.ClientConfig, error) {
	config := a.config
	return &config, nil
}
