package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// ErrUnfit says that a server cannot be used as a store at all, perhaps wrapped.
var ErrUnfit = errors.New("the server knows no conditional writes (If-None-Match: *), without which two agents would do the same run: use another one, or a newer version of it")

// markerKey is the object with which a bucket proves that it can be a store. It stays.
const markerKey = ".nbpress-store"

const markerText = "nbpress keeps its store beside this object. It shows that the server refuses to write over an object that is there.\n"

// proof is what is known of a server.
type proof struct {
	done bool
	err  error // that it is unfit, for good
}

// proven returns nil once the server has shown that it refuses to write over the marker.
// It is asked until it has; who would write before that, waits.
func (s *S3) proven(ctx context.Context) error {
	return s.prove(ctx, s.tries)
}

func (s *S3) prove(ctx context.Context, as tries) error {
	var p *proof
	select {
	case p = <-s.proof:
	case <-ctx.Done():
		return fmt.Errorf("bucket %s: no answer in time: %w", s.where, ctx.Err())
	}
	defer func() { s.proof <- p }()
	if p.done {
		return p.err
	}
	err := s.refusesTwice(ctx, as)
	if err == nil || errors.Is(err, ErrUnfit) {
		p.done, p.err = true, err
	}
	return err
}

// refusesTwice writes the marker up to two times, of which one must be refused.
func (s *S3) refusesTwice(ctx context.Context, as tries) error {
	object, err := s.own(markerKey)
	if err != nil {
		return err
	}
	for range 2 {
		refused := false
		err := s.tryAs(ctx, as, "open the store", func(ctx context.Context) error {
			in := s.put("marker.txt", object, []byte(markerText))
			in.IfNoneMatch = aws.String("*")
			_, err := s.client.PutObject(ctx, in)
			if refused = isTaken(err); refused {
				return nil
			}
			if statusOf(err) == http.StatusNotImplemented {
				return s.unfit()
			}
			return err
		})
		if err != nil || refused {
			return err
		}
	}
	return fmt.Errorf("open the store: %w", s.unfit())
}

func (s *S3) unfit() error { return fmt.Errorf("bucket %s: %w", s.where, ErrUnfit) }

// Ready returns nil where the bucket can be used, else what is wrong with it: ErrUnfit,
// perhaps wrapped, if that will not change. It asks a few times.
func (s *S3) Ready(ctx context.Context) error {
	if err := s.prove(ctx, briefly()); err != nil {
		return err
	}
	object, err := s.own(markerKey)
	if err != nil {
		return err
	}
	return s.tryAs(ctx, briefly(), "read the store", func(ctx context.Context) error {
		_, err := s.read(ctx, object)
		if isMissing(err) { // somebody has tidied up
			return nil
		}
		return err
	})
}
