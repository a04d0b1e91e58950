// Package jupyter is a client of Jupyter kernels: the messaging protocol 5.x
// over ZeroMQ, as https://jupyter-client.readthedocs.io/en/stable/messaging.html
// describes it.
//
// A Client lives for one kernel process. Connect dials the kernel's channels and
// returns when the kernel answers and its output is seen to arrive; Execute runs
// one piece of code and returns when the kernel both replied and became idle;
// Shutdown asks the kernel to end; Close drops the connections and waits for
// every goroutine of the client. There is no reconnecting: a kernel that went
// away has lost its state, and that is an error.
//
// What the package guarantees:
//
//   - The peer is not trusted. Frames are bounded before memory is taken for
//     them, signatures are verified over the received bytes before anything is
//     parsed, and no message makes the process panic.
//   - What arrives is read at once, whether or not somebody consumes it, so that a
//     slow consumer never makes the kernel drop messages. What waits is bounded in
//     bytes; beyond the bound payloads are dropped and the loss is told.
//   - What never arrived is counted by the kernel's own numbers (Lost), and what
//     arrives twice is dropped and counted (Repeated). A cell whose end was lost is an
//     error, never a success.
//   - No wait is without an end: the caller's context, the kernel's death (end of
//     file on a channel, the sandbox's word, a heartbeat that stays out), or a
//     silence that lasts too long.
//
// zmq4 is used for the handshake and the framing of connections that this package
// dials and guards itself; its sockets are not used (see guard.go).
package jupyter
