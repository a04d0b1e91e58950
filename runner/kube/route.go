package kube

import (
	"context"
	"net"
	"strconv"
	"time"

	"nbpress/runner/internal/jupyter"
)

// dialer reaches a port of one pod. What listens there speaks first.
type dialer func(ctx context.Context, port int) (net.Conn, error)

// dialTimeout is of one try to reach a port.
const dialTimeout = 5 * time.Second

// dialIP reaches the ports of a pod at its own address.
func dialIP(ip string) dialer {
	dial := net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	return func(ctx context.Context, port int) (net.Conn, error) {
		return dial.DialContext(ctx, "tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	}
}

// connection is that of the kernel which a warden starts, with the attempt's key.
func connection(key string, dial dialer) jupyter.Connection {
	return jupyter.Connection{
		Transport: "tcp", IP: "the pod", Dial: dial,
		ShellPort: portShell, IOPubPort: portIOPub, StdinPort: portStdin, ControlPort: portControl, HBPort: portHeartbeat,
		Key: key, SignatureScheme: "hmac-sha256", KernelName: "python3",
	}
}
