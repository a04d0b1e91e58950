package local

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ports are TCP ports of this machine alone that nobody uses.
type ports struct {
	numbers [5]int
	held    []int // sockets that keep the ports from all who do not ask for them by number
}

// takePorts finds ports for a kernel. Where the system lets the kernel listen on a port
// that another socket is only bound to (Linux), the ports are held until release, and
// nobody gets one of them by chance while the kernel starts. Elsewhere, that can happen.
func takePorts() (p *ports, err error) {
	p = &ports{}
	defer func() {
		if err != nil {
			err = fmt.Errorf("find free ports: %w", errors.Join(err, p.release()))
		}
	}()
	for i := range p.numbers {
		socket, port, err := bindPort()
		if err != nil {
			return nil, err
		}
		p.numbers[i], p.held = port, append(p.held, socket)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(p.numbers[0]))
	if err != nil {
		return p, p.release()
	}
	return p, listener.Close()
}

// bindPort binds a socket to a free port without listening there.
func bindPort() (socket, port int, err error) {
	syscall.ForkLock.RLock()
	socket, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(socket)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, 0, os.NewSyscallError("socket", err)
	}
	err = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil {
		err = unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var name unix.Sockaddr
	if err == nil {
		name, err = unix.Getsockname(socket)
	}
	if address, ok := name.(*unix.SockaddrInet4); ok {
		return socket, address.Port, nil
	}
	return 0, 0, errors.Join(os.NewSyscallError("bind", err), unix.Close(socket))
}

// release gives the ports up. It is idempotent.
func (p *ports) release() error {
	var errs []error
	for _, socket := range p.held {
		errs = append(errs, os.NewSyscallError("close", unix.Close(socket)))
	}
	p.held = nil
	return errors.Join(errs...)
}
