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
	c.readers.Go(func() { c.end(channelShell, c.readInto(c.shell, c.inbox.push)) })
	c.readers.Go(func() { c.end(channelIOPub, c.readInto(c.iopub, c.inbox.push)) })
	c.readers.Go(func() {
		defer close(c.ended)
		c.end(channelControl, c.readInto(c.control, c.deliverReply))
	})
	beats := make(chan struct{}, 1)
	c.readers.Go(func() {
		defer close(beats)
		c.readBeats(beats)
	})
	c.readers.Go(func() { c.beat(beats) })
}

// readInto reads a channel's messages until it ends, and returns why it did. What the
// guard reserved for a message goes with it, or is given back.
func (c *Client) readInto(ch *channel, deliver func(e event, reserved int64) bool) error {
	var last Message
	for {
		m, again, err := c.receive(ch)
		reserved := ch.conn.guard.takeHeld()
		if err != nil || again {
			c.inbox.release(reserved)
		} else if !deliver(newEvent(ch.name, m, &last), reserved) {
			err = errors.Join(errFlood, ch.close())
		}
		if err != nil {
			return err
		}
	}
}

// receive returns a channel's next message, and whether it had come before.
func (c *Client) receive(ch *channel) (m Message, again bool, err error) {
	frames, cut, err := ch.recv()
	if err != nil {
		return Message{}, false, err
	}
	if cut > 0 {
		m, err = decodeCut(frames, cut)
	} else {
		m, err = decode(c.key, frames)
	}
	if err != nil {
		return Message{}, false, errors.Join(&ProtocolError{Channel: ch.name, Err: err}, ch.close())
	}
	if cut == 0 && c.arrivals.repeats(signatureOf(frames)) {
		return Message{}, true, nil
	}
	c.arrivals.count(ch.name, m.ID)
	return m, false, nil
}

// deliverReply hands a reply on control to whoever waits for one, or lets it go.
func (c *Client) deliverReply(e event, _ int64) bool {
	select {
	case c.replies <- Message{ParentID: e.msg.ParentID}:
	default:
	}
	return true
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

// beat sends heartbeats, and tells the consumer when one stayed out for too long. A
// channel that ended brings none; if the kernel died with it, the others see that sooner.
func (c *Client) beat(beats <-chan struct{}) {
	ticks := time.NewTicker(c.timing.heartbeat)
	defer ticks.Stop()
	var sent time.Time // of the beat that is not answered yet
	misses := 0
	for {
		var now time.Time
		select {
		case _, ok := <-beats:
			if ok {
				sent, misses = time.Time{}, 0
				c.unanswered.Store(nil)
			} else {
				beats = nil
			}
			continue
		case <-c.closing:
			return
		case <-c.doubts:
			if !sent.IsZero() {
				continue // one is out already
			}
			now = time.Now()
		case now = <-ticks.C:
		}
		if sent.IsZero() {
			_ = c.hb.send(context.Background(), [][]byte{{}, []byte("beat")}) // an empty frame before the request, as REQ does
			sent = now
			c.unanswered.Store(&now)
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

// frozen says what a heartbeat that stays out for so long may mean. It is answered by
// a thread of ZeroMQ's, so that no code in the kernel holds it up.
func frozen(silence time.Duration) string {
	return fmt.Sprintf("it did not answer its heartbeat for %s: its process is stopped, or its machine is suspended, cut off or overloaded; "+
		"see to the machine (memory, load), let a stopped process go on, and run it again", silence.Round(time.Second))
}
