package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

const (
	partsAtOnce  = 4
	partsGrace   = 5 * time.Second        // for parts on their way when the upload is given up
	abortTimeout = 2 * time.Minute        // until nothing of it is left
	abortGrace   = 15 * time.Second       // the same where who uploads is let go: the process may be about to end
	abortPause   = 200 * time.Millisecond // between two looks
	abortLooks   = 2                      // that must find nothing
)

// putParts sends a large object in parts. Readers see it once all of them are there; if
// they do not all get there, nothing of them is left.
func (s *S3) putParts(ctx context.Context, key string, object *string, data []byte) (err error) {
	id, err := s.beginParts(ctx, key, object, data)
	if err != nil {
		return err
	}
	complete := false
	defer func() {
		if !complete {
			err = errors.Join(err, s.abort(ctx, object, id))
		}
	}()
	done, err := s.sendParts(ctx, key, object, id, data)
	if err != nil {
		return err
	}
	err = s.try(ctx, "put "+key, func(ctx context.Context) error {
		_, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &s.o.Bucket, Key: object, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
		})
		if isMissing(err) && s.holds(ctx, object, data) { // an earlier try has done it, and its answer was lost
			return nil
		}
		return err
	})
	complete = err == nil
	return err
}

// beginParts begins an upload and returns its id. If the answer is lost, an upload
// without parts stays, which the bucket's lifecycle rule ends.
func (s *S3) beginParts(ctx context.Context, key string, object *string, data []byte) (id *string, err error) {
	put := s.put(key, object, data)
	err = s.try(ctx, "put "+key, func(ctx context.Context) error {
		begun, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: put.Bucket, Key: object, ContentType: put.ContentType, CacheControl: put.CacheControl, Metadata: put.Metadata,
			ServerSideEncryption: put.ServerSideEncryption, SSEKMSKeyId: put.SSEKMSKeyId, StorageClass: put.StorageClass,
			ChecksumAlgorithm: s.checksum(),
		})
		if err == nil {
			id = begun.UploadId
		}
		return err
	})
	return id, err
}

// sendParts sends the parts, some at a time. When it returns, none is on its way.
func (s *S3) sendParts(ctx context.Context, key string, object, id *string, data []byte) ([]types.CompletedPart, error) {
	done := make([]types.CompletedPart, (len(data)+s.partSize-1)/s.partSize)
	next, stop := errgroup.WithContext(ctx) // its end keeps further parts from being sent
	next.SetLimit(partsAtOnce)
	sent := int32(0)
	for part := range slices.Chunk(data, s.partSize) {
		sent++
		number := sent
		next.Go(func() error {
			sending, cancel := withGrace(stop, partsGrace)
			defer cancel()
			what := fmt.Sprintf("put %s, part %d", key, number)
			return s.try(sending, what, func(sending context.Context) error {
				if stop.Err() != nil {
					return stop.Err()
				}
				part, err := s.client.UploadPart(sending, &s3.UploadPartInput{
					Bucket: &s.o.Bucket, Key: object, UploadId: id, PartNumber: aws.Int32(number),
					Body: bytes.NewReader(part), ContentLength: aws.Int64(int64(len(part))), ChecksumAlgorithm: s.checksum(),
				})
				if err != nil {
					return err
				}
				done[number-1] = types.CompletedPart{PartNumber: aws.Int32(number), ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32}
				return nil
			})
		})
	}
	return done, next.Wait()
}

// withGrace returns a context that ends a while after ctx: what is cut off in the middle
// of a request may still be taken by the server, at some time.
func withGrace(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// holds reports whether an object is there and is data.
func (s *S3) holds(ctx context.Context, object *string, data []byte) bool {
	there, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.o.Bucket, Key: object})
	return err == nil && there.Metadata[sumMetadata] == sum(data)
}

// abort removes the parts of an upload. A part that the server was still taking in may
// come to stand there afterwards: abort looks, and aborts again, until none is left. It
// has a deadline of its own, because ctx may be why the upload is given up.
func (s *S3) abort(ctx context.Context, object, id *string) error {
	patience := abortTimeout
	if ctx.Err() != nil {
		patience = abortGrace
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for clean := 0; ; {
		err := s.try(ctx, "give up the upload of "+*object, func(ctx context.Context) error {
			_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.o.Bucket, Key: object, UploadId: id})
			if err != nil && !isMissing(err) {
				return err
			}
			clean++
			_, err = s.client.ListParts(ctx, &s3.ListPartsInput{Bucket: &s.o.Bucket, Key: object, UploadId: id, MaxParts: aws.Int32(1)})
			if err == nil { // the server still knows the upload
				clean = 0
			}
			if isMissing(err) {
				return nil
			}
			return err
		})
		if err != nil || clean >= abortLooks {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("give up the upload of %s: parts of it are left: %w", *object, ctx.Err())
		case <-time.After(abortPause):
		}
	}
}

// checksum is what each part is sent with, beside our own sum of the whole.
func (s *S3) checksum() types.ChecksumAlgorithm {
	if s.o.LeanChecksums {
		return ""
	}
	return types.ChecksumAlgorithmCrc32
}
