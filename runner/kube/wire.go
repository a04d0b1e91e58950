package kube

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"k8s.io/apimachinery/pkg/util/httpstream"
	httpspdy "k8s.io/apimachinery/pkg/util/httpstream/spdy"
	portforwarding "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/transport/websocket"
)

// This file connects to the cluster's API for streams as client-go does, but that nobody can be
// held by a wire that swallows what is sent: a dial ends with its context, and Close at once.

// wire is one connection to the API, and the streams that go through it.
type wire struct {
	httpstream.Connection
	raw net.Conn
}

func newWire(raw net.Conn) (httpstream.Connection, error) {
	streams, err := httpspdy.NewClientConnectionWithPings(raw, portforward.PingPeriod)
	if err != nil {
		return nil, err
	}
	return wire{Connection: streams, raw: raw}, nil
}

// Close cuts the connection before the streams say farewell: who writes to one that swallows
// packets waits for as long as TCP hopes.
func (w wire) Close() error {
	err := w.raw.Close()
	_ = w.Connection.Close() // it lets go of the streams
	return err
}

// forwardOverWebSocket makes a connection for port-forwards.
func forwardOverWebSocket(ctx context.Context, config *rest.Config, address *url.URL) (httpstream.Connection, error) {
	transport, holder, err := websocket.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	conn, err := websocket.Negotiate(transport, holder, request, portforwarding.WebsocketsSPDYTunnelingPrefix+portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, err
	}
	return newWire(portforward.NewTunnelingConnection("agent", conn))
}

// forwardOverSPDY makes a connection for port-forwards where there are no WebSockets.
func forwardOverSPDY(ctx context.Context, config *rest.Config, address *url.URL) (httpstream.Connection, error) {
	transport, upgrader, err := spdyFor(config)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), nil)
	if err != nil {
		return nil, err
	}
	conn, protocol, err := spdy.Negotiate(upgrader, &http.Client{Transport: transport}, request, portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, err
	}
	if protocol != portforward.PortForwardProtocolV1Name {
		_ = conn.Close()
		return nil, fmt.Errorf("it speaks %q", protocol)
	}
	return conn, nil
}

// spdyFor is spdy.RoundTripperFor with a deadline. What it returns is for one connection.
func spdyFor(config *rest.Config) (http.RoundTripper, spdy.Upgrader, error) {
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, nil, err
	}
	dialer, err := httpspdy.NewRoundTripperWithConfig(httpspdy.RoundTripperConfig{TLS: tlsConfig, Proxier: config.Proxy})
	if err != nil {
		return nil, nil, err
	}
	u := &upgrader{SpdyRoundTripper: dialer}
	transport, err := rest.HTTPWrappersForConfig(config, u)
	return transport, u, err
}

// upgrader makes one SPDY connection.
type upgrader struct {
	*httpspdy.SpdyRoundTripper
	raw net.Conn
}

// RoundTrip implements http.RoundTripper. The embedded one waits for the answer for ever.
func (u *upgrader) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Add(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	request.Header.Add(httpstream.HeaderUpgrade, httpspdy.HeaderSpdy31)
	conn, err := u.Dial(request)
	if err != nil {
		return nil, err
	}
	if deadline, ok := request.Context().Deadline(); ok {
		err = conn.SetDeadline(deadline)
	}
	var response *http.Response
	if err == nil {
		response, err = http.ReadResponse(bufio.NewReader(conn), request)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	u.raw = conn
	return response, nil
}

// NewConnection implements spdy.Upgrader.
func (u *upgrader) NewConnection(response *http.Response) (httpstream.Connection, error) {
	if response.StatusCode != http.StatusSwitchingProtocols {
		defer u.raw.Close()
		return u.SpdyRoundTripper.NewConnection(response) // which reads why
	}
	if err := u.raw.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return newWire(u.raw)
}
