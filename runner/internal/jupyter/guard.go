package jupyter

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// zmq4 allocates what the peer's eight-byte length says, takes parts without end
// and hands PING to the application. So it only ever sees a connection through a
// guard, which reads the ZMTP 3.x frame headers first. Nothing in this file may
// take memory by the peer's word.

// Limits bound what a peer may send. Zero means the default.
type Limits struct {
	Frame   int64 // bytes of one frame that are kept, but for replies; default 16 MiB
	Message int64 // bytes of one message that are kept; default 32 MiB
	Parts   int   // frames of one message; default 1,024
	Queue   int64 // bytes of messages that arrive or wait for the consumer; default 32 MiB
}

func (l Limits) withDefaults() Limits {
	if l.Frame <= 0 {
		l.Frame = 16 << 20
	}
	if l.Message <= 0 {
		l.Message = 32 << 20
	}
	if l.Parts <= 0 {
		l.Parts = 1024
	}
	if l.Queue <= 0 {
		l.Queue = 32 << 20
	}
	return l
}

const (
	greetingBytes = 64        // https://rfc.zeromq.org/spec/23/#greeting
	commandLimit  = 4 << 10   // bytes of a command: READY, PING
	discardLimit  = 1<<31 - 1 // a longer frame is refused, a shorter one over the limits read and dropped
)

// The flags of a frame, https://rfc.zeromq.org/spec/23/#framing.
const (
	flagMore    = 1
	flagLong    = 2
	flagCommand = 4
)

// violation is what no ZMTP peer does.
type violation string

// Error says what the peer did.
func (v violation) Error() string { return string(v) }

// guard is the reading side of a connection. It passes on the greeting, the READY
// command and messages, checks every frame's header before it does, answers PING
// itself, and replaces a frame that is too big to keep by an empty one.
type guard struct {
	src    *bufio.Reader
	limits Limits
	pong   func(context []byte) error // answers a PING
	room   func(n int64) bool         // sets room for n bytes aside, if there is any; nil: there always is

	greeting int    // bytes of it still to come
	ready    bool   // the first command was passed on
	header   []byte // of the current frame, still to be handed out
	buf      [9]byte
	left     int64 // bytes of the current frame still to be handed out

	parts int   // of the current message so far
	size  int64 // of the current message so far, as kept
	cut   int64 // bytes dropped from the current message
	held  int64 // bytes that room has set aside for the current message
	more  bool  // the current message has more parts
}

func newGuard(src io.Reader, limits Limits, pong func([]byte) error) *guard {
	return &guard{src: bufio.NewReaderSize(src, 64<<10), limits: limits.withDefaults(), pong: pong, greeting: greetingBytes}
}

// Read hands out checked bytes.
func (g *guard) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if g.greeting > 0 {
		n, err := g.src.Read(p[:min(len(p), g.greeting)])
		g.greeting -= n
		return n, err
	}
	for len(g.header) == 0 && g.left == 0 {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	if len(g.header) > 0 {
		n := copy(p, g.header)
		g.header = g.header[n:]
		return n, nil
	}
	n, err := g.src.Read(p[:min(int64(len(p)), g.left)])
	g.left -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // in mid-frame
	}
	return n, err
}

// takeCut returns how many bytes were dropped from the message read last.
func (g *guard) takeCut() int64 {
	cut := g.cut
	g.cut = 0
	return cut
}

// takeHeld returns for how many bytes of the message read last, whole or not, room was
// set aside.
func (g *guard) takeHeld() int64 {
	held := g.held
	g.held = 0
	return held
}

// keep reports whether n more bytes of the current message are to be kept, and
// then sets room for them aside.
func (g *guard) keep(n int64) (bool, error) {
	if n > min(g.limits.Frame, g.limits.Message-g.size) {
		return false, nil
	}
	if g.room != nil {
		if !g.room(n) {
			if n <= smallFrame {
				return false, errFlood // without its headers a message is none
			}
			return false, nil
		}
		g.held += n
	}
	g.size += n
	return true, nil
}

// next reads a frame's header and decides what becomes of the frame.
func (g *guard) next() error {
	flags, size, err := g.readHeader()
	if err != nil {
		return err
	}
	if flags&^(flagMore|flagLong|flagCommand) != 0 {
		return violation(fmt.Sprintf("frame with unknown flags %#x", flags))
	}
	if flags&flagCommand != 0 {
		return g.command(flags, size)
	}
	if !g.ready {
		return violation("a message before the handshake was done")
	}
	return g.message(flags, size)
}

func (g *guard) readHeader() (flags byte, size uint64, err error) {
	if flags, err = g.src.ReadByte(); err != nil {
		return 0, 0, err
	}
	length := g.buf[:1]
	if flags&flagLong != 0 {
		length = g.buf[:8]
	}
	if _, err := io.ReadFull(g.src, length); err != nil {
		return 0, 0, unexpected(err)
	}
	for _, b := range length {
		size = size<<8 | uint64(b)
	}
	return flags, size, nil
}

// command passes on the handshake's first command, and keeps later ones from
// zmq4, which would take them for messages.
func (g *guard) command(flags byte, size uint64) error {
	if size > commandLimit {
		return &LimitError{What: "bytes of a command", Got: size, Limit: commandLimit}
	}
	if flags&flagMore != 0 || g.more {
		return violation("a command inside a message")
	}
	if !g.ready {
		g.ready = true
		g.handOut(flags, int64(size))
		return nil
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(g.src, body); err != nil {
		return unexpected(err)
	}
	const ping = "\x04PING"
	if len(body) >= len(ping)+2 && string(body[:len(ping)]) == ping && g.pong != nil {
		return g.pong(body[len(ping)+2:]) // after the TTL comes a context to be sent back
	}
	return nil // commands that are not known are ignored
}

func (g *guard) message(flags byte, size uint64) error {
	if !g.more {
		g.parts, g.size, g.cut = 0, 0, 0
	}
	g.more = flags&flagMore != 0
	if g.parts++; g.parts > g.limits.Parts {
		return &LimitError{What: "parts of a message", Got: uint64(g.parts), Limit: uint64(g.limits.Parts)}
	}
	if size > discardLimit {
		return &LimitError{What: "bytes of a frame", Got: size, Limit: discardLimit}
	}
	n := int64(size)
	if keep, err := g.keep(n); err != nil {
		return err
	} else if keep {
		g.handOut(flags, n)
		return nil
	}
	g.cut += n
	g.handOut(flags&flagMore, 0)
	for n > 0 {
		done, err := g.src.Discard(int(min(n, 1<<20)))
		if n -= int64(done); err != nil {
			return unexpected(err)
		}
	}
	return nil
}

// handOut makes Read return the header of a frame of n bytes and then its body.
func (g *guard) handOut(flags byte, n int64) {
	g.buf[0], g.left = flags, n
	if flags&flagLong != 0 {
		binary.BigEndian.PutUint64(g.buf[1:], uint64(n))
		g.header = g.buf[:9]
		return
	}
	g.buf[1] = byte(n)
	g.header = g.buf[:2]
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// guarded is the net.Conn that zmq4 sees: reads go through the guard, and writes
// are gathered once the handshake is over, because zmq4 writes each frame's header
// and body apart.
type guarded struct {
	net.Conn
	guard *guard
	out   *bufio.Writer // nil during the handshake
}

// Read implements net.Conn.
func (c *guarded) Read(p []byte) (int, error) { return c.guard.Read(p) }

// Write implements net.Conn.
func (c *guarded) Write(p []byte) (int, error) {
	if c.out == nil {
		return c.Conn.Write(p)
	}
	return c.out.Write(p)
}

// buffer makes writes wait for a flush of out, from now on.
func (c *guarded) buffer() { c.out = bufio.NewWriterSize(c.Conn, 16<<10) }
