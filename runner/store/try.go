package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"nbpress/runner"
)

// tries say how often something is asked, and how long is waited in between: up to a
// time that doubles, at random, so that those whom a server turned away do not come
// back together.
type tries struct {
	most        int
	first, last time.Duration
}

// patiently outlasts a server that refuses every third request. What it does not
// outlast is the caller's to deal with.
func patiently() tries { return tries{most: 9, first: 100 * time.Millisecond, last: 3 * time.Second} }

// briefly is for who wants to know how things are: a server that refuses before it has
// heard all may break the connection before it says why.
func briefly() tries {
	return tries{most: 3, first: 50 * time.Millisecond, last: 100 * time.Millisecond}
}

// try does something until it succeeds, is refused for good, was tried often enough, or
// ctx ends. The error says what was being done, and why it did not work out: where ctx
// ended, what was wrong before.
func (s *S3Reader) try(ctx context.Context, what string, do func(context.Context) error) error {
	return s.tryAs(ctx, s.tries, what, do)
}

func (s *S3Reader) tryAs(ctx context.Context, as tries, what string, do func(context.Context) error) error {
	var last error
	for n := 1; ; n++ {
		err := do(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			if last == nil {
				last = err
			}
			return fmt.Errorf("%s: %w", what, s.explain(errors.Join(last, ctx.Err())))
		case !isPassing(err) || n >= as.most:
			return fmt.Errorf("%s: %w", what, s.explain(err))
		}
		last = err
		pause := rand.N(min(as.first<<(n-1), as.last)) + time.Millisecond
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, s.explain(errors.Join(last, ctx.Err())))
		case <-time.After(pause):
		}
	}
}

// isPassing reports whether the same may succeed a little later.
func isPassing(err error) bool {
	if errors.Is(err, errContested) || errors.Is(err, errAltered) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return true
	}
	if errors.Is(err, runner.ErrExists) {
		return false
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "RequestTimeTooSkewed" {
		return true // the SDK has learned the server's clock from the answer
	}
	if status := statusOf(err); status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status/100 == 5 && status != http.StatusNotImplemented {
		return true
	}
	for _, check := range retry.DefaultRetryables {
		if verdict := check.IsErrorRetryable(err); verdict != aws.UnknownTernary {
			return verdict.Bool()
		}
	}
	return false
}

// statusOf is the HTTP status of an answer that is an error, else 0.
func statusOf(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// isTaken reports whether a conditional write was refused: the key is taken, or
// another write of it is under way.
func isTaken(err error) bool {
	status := statusOf(err)
	return status == http.StatusPreconditionFailed || status == http.StatusConflict
}

// isMissing reports whether there is no such object, or upload. That status alone does
// not say: it may be the bucket, the credential or the address.
func isMissing(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) || statusOf(err) != http.StatusNotFound {
		return false
	}
	switch api.ErrorCode() {
	case "NoSuchKey", "NoSuchUpload", "NotFound": // the last is of requests whose answers have no body
		return true
	}
	return false
}
