package store

import (
	"context"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// MaxLink is the longest lifetime that S3 gives a link.
const MaxLink = 7 * 24 * time.Hour

// Link returns an address at which anybody may read an object for a time, and the
// instant at which it ends: sooner than asked for where the credential expires sooner.
// Whether there is such an object is not looked at.
func (s *S3Reader) Link(ctx context.Context, key string, lifetime time.Duration) (string, time.Time, error) {
	object, err := s.object(key)
	if err != nil {
		return "", time.Time{}, err
	}
	until := time.Now().Add(lifetime)
	signed, err := s3.NewPresignClient(s.client).PresignGetObject(ctx,
		&s3.GetObjectInput{Bucket: &s.o.Bucket, Key: object}, s3.WithPresignExpires(lifetime))
	if err != nil {
		return "", until, s.explain(err)
	}
	credential, err := s.client.Options().Credentials.Retrieve(ctx) // it is at hand: it was just used
	if err == nil && credential.CanExpire && credential.Expires.Before(until) {
		until = credential.Expires
	}
	return signed.URL, until, nil
}

// LinksEndEarlier reports whether links end, at an instant that nobody knows, before the
// one that Link tells: with a session's credential of whose end nothing is said, as
// AWS_SESSION_TOKEN says nothing.
func (s *S3Reader) LinksEndEarlier(ctx context.Context) bool {
	credential, err := s.client.Options().Credentials.Retrieve(ctx)
	return err == nil && credential.SessionToken != "" && !credential.CanExpire
}

// Link returns the address of an object's file. It does not end.
func (d *DirReader) Link(_ context.Context, key string, _ time.Duration) (string, time.Time, error) {
	path, err := d.path(key)
	return (&url.URL{Scheme: "file", Path: path}).String(), time.Time{}, err
}
