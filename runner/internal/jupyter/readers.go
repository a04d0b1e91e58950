package jupyter

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The goroutines of a client: one reader per channel and the heartbeat. They end
// when their channel does, which Close makes happen. Nothing here may wait for the
// consumer.

func (c *Client) read() {
	c.inbox.share(c.shell)
	c.inbox.share(c.iopub)
	c.readers.Go(func() { c.end(channelShell, c.readInto(c.shell, c.deliver)) })
	c.readers.Go(func() { c.end(channelIOPub, c.readInto(c.iopub, c.deliver)) })
	c.readers.Go(func() {
		defer close(c.ended)
		c.end(channelControl, c.readInto(c.control, c.deliverControl))
	})
	beats := make(chan struct{}, 1)
	c.readers.Go(func() {
		defer close(beats)
		c.readBeats(beats)
	})
	c.readers.Go(func() { c.beat(beats) })
}

// readInto reads a channel's messages until it ends, and returns why it did.
func (c *Client) readInto(ch *channel, deliver func(e event, reserved int64) error) error {
	var last Message
	for {
		frames, cut, err := ch.recv()
		if err != nil {
			return err
		}
		var m Message
		if cut > 0 {
			m, err = decodeCut(frames, cut)
		} else {
			m, err = decode(c.key, frames)
		}
		held := ch.conn.guard.takeHeld()
		if err == nil && cut == 0 && c.arrivals.repeats(signatureOf(frames)) {
			if ch != c.control { // which has no room in the inbox
				c.inbox.release(held)
			}
			continue
		}
		if err == nil {
			c.arrivals.count(ch.name, m.ID)
			err = deliver(newEvent(ch.name, m, &last), held)
		}
		if err != nil {
			return errors.Join(&ProtocolError{Channel: ch.name, Err: err}, ch.close())
		}
	}
}

func (c *Client) deliver(e event, reserved int64) error {
	if !c.inbox.push(e, reserved) {
		return errFlood
	}
	return nil
}

// deliverControl hands replies to whoever waits for one; others are let go.
func (c *Client) deliverControl(e event, _ int64) error {
	select {
	case c.replies <- Message{ParentID: e.msg.ParentID}:
	default:
	}
	return nil
}

// end tells the consumer that a channel ended.
func (c *Client) end(channel string, err error) {
	select {
	case <-c.closing:
		err = errClosed
	default:
	}
	c.inbox.push(event{channel: channel, err: err}, 0)
}

// readBeats turns what comes back on the heartbeat channel into ticks.
func (c *Client) readBeats(beats chan<- struct{}) {
	for {
		if _, _, err := c.hb.recv(); err != nil {
			return
		}
		select {
		case beats <- struct{}{}:
		default:
		}
	}
}

// beat sends heartbeats, and tells the consumer when one stayed out for too long.
// It declares nothing dead on the channel's end alone: the others see that too.
func (c *Client) beat(beats <-chan struct{}) {
	ticks := time.NewTicker(c.timing.heartbeat)
	defer ticks.Stop()
	var sent time.Time // of the beat that is not answered yet
	misses := 0
	for {
		select {
		case _, ok := <-beats:
			if !ok {
				return
			}
			sent, misses = time.Time{}, 0
		case <-c.closing:
			return
		case now := <-ticks.C:
			if sent.IsZero() {
				if c.hb.send(context.Background(), [][]byte{{}, []byte("beat")}) != nil { // an empty frame before the request, as REQ does
					return
				}
				sent = now
				continue
			}
			if misses++; misses == 3 {
				c.log.Warn("kernel does not answer its heartbeat", "for", now.Sub(sent).Round(time.Second))
			}
			if misses >= 3 && now.Sub(sent) >= c.timing.frozen {
				c.end(channelHB, &KernelDied{Reason: frozen(now.Sub(sent))})
				return
			}
		}
	}
}

// frozen says what a heartbeat that stays out for so long may mean. It is answered by
// a thread of ZeroMQ's, so that no code in the kernel holds it up.
func frozen(silence time.Duration) string {
	return fmt.Sprintf("it did not answer its heartbeat for %s: its process is stopped, or its machine is suspended, cut off or overloaded; "+
		"see to the machine (memory, load), let a stopped process go on, and run it again", silence.Round(time.Second))
}
