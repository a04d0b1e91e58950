package jupyter

import (
	"errors"
	"fmt"
)

// Stage says how far the start of a client came.
type Stage string

// The stages of Connect, in order.
const (
	StageDial       Stage = "dial"        // nobody listens
	StageZMTP       Stage = "zmtp"        // somebody listens, but does not speak ZeroMQ as a kernel does
	StageKernelInfo Stage = "kernel_info" // ZeroMQ works, but the kernel does not answer: a wrong key, or a wedged kernel
	StageIOPub      Stage = "iopub"       // the kernel answers, but its output channel stays silent
)

// StartError is what Connect returns when the kernel could not be reached.
type StartError struct {
	Stage   Stage
	Channel string // the channel at fault, where one is
	Err     error
}

// Error says at which stage the start ended and why.
func (e *StartError) Error() string {
	if e.Channel != "" {
		return fmt.Sprintf("connect to the kernel: %s of channel %s: %v", e.Stage, e.Channel, e.Err)
	}
	return fmt.Sprintf("connect to the kernel: %s: %v", e.Stage, e.Err)
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// KernelDied says that the kernel went away while it was needed. All output that
// it sent before has been delivered.
type KernelDied struct {
	Reason string // what was seen
	Err    error  // the connection's error; nil where there is none
}

// Error says what was seen of the death.
func (e *KernelDied) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("kernel died: %s: %v", e.Reason, e.Err)
	}
	return "kernel died: " + e.Reason
}

// Unwrap returns the connection's error.
func (e *KernelDied) Unwrap() error { return e.Err }

// ProtocolError says that the peer broke the protocol: a bad signature, a message
// without its parts, a frame over the limits. Nothing it says is trusted after it.
type ProtocolError struct {
	Channel string
	Err     error
}

// Error names the channel and what was wrong.
func (e *ProtocolError) Error() string {
	return fmt.Sprintf("kernel's %s channel: %v", e.Channel, e.Err)
}

// Unwrap returns what was wrong.
func (e *ProtocolError) Unwrap() error { return e.Err }

// LimitError says which limit a peer went over.
type LimitError struct {
	What       string // "frame", "parts of a message", ...
	Got, Limit uint64
}

// Error names the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %d is over the limit of %d", e.What, e.Got, e.Limit)
}

// ErrIdleLost means that the kernel replied, but its end-of-cell message on the
// output channel never came, while a later request's did: output may be missing.
var ErrIdleLost = errors.New("the kernel's end-of-cell message was lost")

// ErrBusy means that another Execute, Wait or Drain of the same client is under way.
var ErrBusy = errors.New("the client is executing already")

// errClosed is the cause of a channel that Close ended.
var errClosed = errors.New("client closed")
