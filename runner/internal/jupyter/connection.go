package jupyter

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
}
