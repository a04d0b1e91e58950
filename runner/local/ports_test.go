package local

import (
	"net"
	"strconv"
	"testing"
)

func TestTakePorts_AreNobodyElses(t *testing.T) {
	seen := map[int]bool{}
	for range 100 { // held all the time
		p, err := takePorts()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.release(); err != nil {
				t.Error(err)
			}
		})
		for _, port := range p.numbers {
			if seen[port] && p.held != nil {
				t.Errorf("port %d was given away twice", port)
			}
			seen[port] = true
			address := "127.0.0.1:" + strconv.Itoa(port)
			if conn, err := net.Dial("tcp", address); err == nil {
				conn.Close()
				t.Errorf("somebody listens on %s", address)
			}
			listener, err := net.Listen("tcp", address)
			if err != nil {
				t.Errorf("a kernel could not listen: %v", err)
				continue
			}
			listener.Close()
		}
	}
}
