package jupyter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Connection is a kernel's connection file: where its five channels listen and
// the key that signs their messages. See
// https://jupyter-client.readthedocs.io/en/stable/kernels.html#connection-files.
type Connection struct {
	Transport       string `json:"transport"` // tcp, or ipc for Unix sockets
	IP              string `json:"ip"`        // tcp: the address; ipc: the path to which "-<port>" is added
	ShellPort       int    `json:"shell_port"`
	IOPubPort       int    `json:"iopub_port"`
	StdinPort       int    `json:"stdin_port"`
	ControlPort     int    `json:"control_port"`
	HBPort          int    `json:"hb_port"`
	Key             string `json:"key"`
	SignatureScheme string `json:"signature_scheme"` // hmac-sha256
	KernelName      string `json:"kernel_name"`

	// Dial reaches a port of a kernel that cannot be dialled at its IP, once it listens
	// there. Nil: it can.
	Dial func(ctx context.Context, port int) (net.Conn, error) `json:"-"`
}

// signatureScheme is the only scheme there is in practice.
const signatureScheme = "hmac-sha256"

// File returns the connection file's content, to be given to a kernel.
func (c Connection) File() []byte {
	if c.SignatureScheme == "" {
		c.SignatureScheme = signatureScheme
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("jupyter: encode a connection file: %v", err)) // strings and numbers always encode
	}
	return append(data, '\n')
}

// ParseConnection reads a connection file. It refuses what the client could not
// use: other transports than tcp and ipc, ports that are none, signature schemes
// other than hmac-sha256, and kernels that demand CurveZMQ encryption. Keys that
// it does not know are ignored, as Jupyter does.
func ParseConnection(data []byte) (Connection, error) {
	var file struct {
		Connection
		CurvePublicKey string `json:"curve_publickey"`
		CurveSecretKey string `json:"curve_secretkey"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return Connection{}, fmt.Errorf("read connection file: %w", err)
	}
	if file.CurvePublicKey != "" || file.CurveSecretKey != "" {
		return Connection{}, errors.New("read connection file: the kernel asks for CurveZMQ encryption (curve_publickey), which is not supported")
	}
	c := file.Connection
	if c.Transport == "" {
		c.Transport = "tcp" // as jupyter_client assumes
	}
	if c.SignatureScheme == "" {
		c.SignatureScheme = signatureScheme
	}
	if err := c.validate(); err != nil {
		return Connection{}, fmt.Errorf("read connection file: %w", err)
	}
	return c, nil
}

func (c Connection) validate() error {
	var problems []error
	if c.Transport != "tcp" && c.Transport != "ipc" {
		problems = append(problems, fmt.Errorf("transport is %q, want tcp or ipc", c.Transport))
	}
	if c.IP == "" || strings.ContainsRune(c.IP, 0) {
		problems = append(problems, fmt.Errorf("ip is %q, want an address, or a path for ipc", c.IP))
	}
	if c.SignatureScheme != "" && c.SignatureScheme != signatureScheme {
		problems = append(problems, fmt.Errorf("signature_scheme is %q, want %s", c.SignatureScheme, signatureScheme))
	}
	for _, p := range []struct {
		name string
		port int
	}{
		{"shell_port", c.ShellPort}, {"iopub_port", c.IOPubPort}, {"stdin_port", c.StdinPort},
		{"control_port", c.ControlPort}, {"hb_port", c.HBPort},
	} {
		if p.port < 1 || p.port > 65535 {
			problems = append(problems, fmt.Errorf("%s is %d, want 1 to 65535", p.name, p.port))
		}
	}
	return errors.Join(problems...)
}

// endpoint returns what net.Dial wants for one of the ports.
func (c Connection) endpoint(port int) (network, address string) {
	if c.Transport == "ipc" {
		return "unix", c.IP + "-" + strconv.Itoa(port)
	}
	ip := c.IP
	if ip == "*" || ip == "0.0.0.0" {
		ip = "127.0.0.1" // the kernel listens everywhere; reach it here
	}
	return "tcp", net.JoinHostPort(ip, strconv.Itoa(port))
}
