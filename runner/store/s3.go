package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"nbpress/runner"
)

// S3Options say where a bucket is and how it is written to. Credentials come from where
// the SDK looks for them by itself: environment, shared files, web identity, the
// machine's or the container's role.
type S3Options struct {
	Bucket   string
	Prefix   string // before all keys, without slashes around it; "" is the whole bucket
	Region   string // "": as the environment or a profile says
	Endpoint string // URL of another server than AWS's
	// PathStyle puts the bucket into the path of a URL, not into its host name.
	PathStyle    bool
	Encryption   string // "AES256" or "aws:kms"; "": as the bucket says
	KMSKey       string // of "aws:kms"; "": the account's own
	StorageClass string // such as "STANDARD_IA"; "": the server's default
	// LeanChecksums leaves out the checksums of newer SDKs, which some servers refuse.
	// Ours, of the whole object, is kept and compared all the same.
	LeanChecksums bool
	CAFile        string // certificates in PEM that sign the server's; "": the system's
	// CacheControl is the header of an object by its key; nil gives none.
	CacheControl func(key string) string
}

// S3Reader reads the store in a bucket, and writes nothing there.
type S3Reader struct {
	client *s3.Client
	o      S3Options
	where  string // for errors
	tries  tries
}

// S3 is a store in a bucket.
type S3 struct {
	S3Reader
	partSize int         // of what is sent in parts: what is larger than one
	proof    chan *proof // holds one, for who looks at it
}

// Metadata that our objects carry.
const (
	sumMetadata   = "nbpress-sha256" // of the object, in hex
	nonceMetadata = "nbpress-nonce"  // of the call of Create that wrote it
)

// partSize is how much is sent in one request. S3 takes 5 MiB or more.
const partSize = 8 << 20

// NewS3Reader reads the store in a bucket. Nothing is asked of the server yet; the
// error is of the options or of the environment.
func NewS3Reader(ctx context.Context, o S3Options) (*S3Reader, error) {
	o.Prefix = strings.Trim(o.Prefix, "/")
	if o.Prefix != "" && checkKey(o.Prefix) != nil {
		return nil, fmt.Errorf("store: %q is no prefix of keys: write a path of names, such as \"team/reports\"", o.Prefix)
	}
	client, err := newClient(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	where := "s3://" + o.Bucket
	if o.Endpoint != "" {
		where = o.Bucket + " at " + o.Endpoint
	}
	return &S3Reader{client: client, o: o, where: where, tries: patiently()}, nil
}

// OpenS3 opens the store in a bucket. Nothing is asked of the server yet: what is wrong
// with it, Ready tells, and every call. The error is of the options or of the environment.
func OpenS3(ctx context.Context, o S3Options) (*S3, error) {
	reader, err := NewS3Reader(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &S3{S3Reader: *reader, partSize: partSize, proof: make(chan *proof, 1)}
	s.proof <- &proof{}
	return s, nil
}

// object returns the name of a key's object in the bucket.
func (s *S3Reader) object(key string) (*string, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return s.own(key)
}

// own is object for keys of ours.
func (s *S3Reader) own(key string) (*string, error) {
	if s.o.Prefix != "" {
		key = s.o.Prefix + "/" + key
	}
	if len(key) > maxKey {
		return nil, fmt.Errorf("key %q: %w", key, fs.ErrInvalid)
	}
	return &key, nil
}

// Get implements runner.StoreReader. What differs from what was written is no answer.
func (s *S3Reader) Get(ctx context.Context, key string) (data []byte, err error) {
	object, err := s.object(key)
	if err != nil {
		return nil, err
	}
	err = s.try(ctx, "get "+key, func(ctx context.Context) error {
		data, err = s.read(ctx, object)
		return err
	})
	return data, err
}

// errAltered says that an object is not what was written. It may be the line's doing.
var errAltered = errors.New("what came is not what was written: its SHA-256 differs")

func (s *S3Reader) read(ctx context.Context, object *string) ([]byte, error) {
	answer, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.o.Bucket, Key: object})
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil && strings.Contains(err.Error(), "checksum did not match") { // the server's, which the SDK compares
		return nil, errAltered
	}
	if err != nil {
		return nil, err
	}
	if want, ok := answer.Metadata[sumMetadata]; ok && want != sum(data) {
		return nil, errAltered
	}
	return data, nil
}

func sum(data []byte) string {
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}

// List implements runner.StoreReader.
func (s *S3Reader) List(ctx context.Context, prefix string) ([]string, error) {
	object, err := s.object(strings.TrimSuffix(prefix, "/"))
	if err != nil {
		return nil, err
	}
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.o.Bucket, Prefix: aws.String(*object + "/")})
	var keys []string
	for pages.HasMorePages() {
		err := s.try(ctx, "list "+prefix, func(ctx context.Context) error {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, o := range page.Contents {
				if key := aws.ToString(o.Key); !strings.HasSuffix(key, "/") { // what other tools make for a folder
					keys = append(keys, strings.TrimPrefix(strings.TrimPrefix(key, s.o.Prefix), "/"))
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(keys) // not every server does
	return keys, nil
}

// Create implements runner.StoreWriter. A request that is sent again because its answer
// was lost finds its own object there: the nonce tells whose it is.
func (s *S3) Create(ctx context.Context, key string, data []byte) error {
	object, err := s.object(key)
	if err == nil {
		err = s.proven(ctx)
	}
	if err != nil {
		return err
	}
	nonce := rand.Text()
	return s.try(ctx, "create "+key, func(ctx context.Context) error {
		in := s.put(key, object, data)
		in.IfNoneMatch = aws.String("*")
		in.Metadata[nonceMetadata] = nonce
		_, err := s.client.PutObject(ctx, in)
		if !isTaken(err) {
			return err
		}
		return s.madeBy(ctx, key, object, nonce)
	})
}

// madeBy returns nil where the object that is there was written by the call of Create
// with this nonce, and ErrExists where it was another.
func (s *S3) madeBy(ctx context.Context, key string, object *string, nonce string) error {
	return s.try(ctx, "look at "+key, func(ctx context.Context) error {
		there, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.o.Bucket, Key: object})
		switch {
		case isMissing(err): // a create that was under way has come to nothing, or it was deleted: once more
			return errContested
		case err != nil:
			return err
		case there.Metadata[nonceMetadata] == nonce:
			return nil
		}
		return runner.ErrExists
	})
}

// errContested says that somebody is at the same key.
var errContested = errors.New("another create of the same key is under way")

// Put implements runner.StoreWriter.
func (s *S3) Put(ctx context.Context, key string, data []byte) error {
	object, err := s.object(key)
	if err == nil {
		err = s.proven(ctx)
	}
	if err != nil {
		return err
	}
	if len(data) > s.partSize {
		return s.putParts(ctx, key, object, data)
	}
	return s.try(ctx, "put "+key, func(ctx context.Context) error {
		_, err := s.client.PutObject(ctx, s.put(key, object, data))
		return err
	})
}

// put is the request that writes an object.
func (s *S3) put(key string, object *string, data []byte) *s3.PutObjectInput {
	in := &s3.PutObjectInput{
		Bucket: &s.o.Bucket, Key: object, Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
		ContentType: aws.String(contentType(key)), CacheControl: s.cacheControl(key),
		Metadata:             map[string]string{sumMetadata: sum(data)},
		ServerSideEncryption: types.ServerSideEncryption(s.o.Encryption), StorageClass: types.StorageClass(s.o.StorageClass),
	}
	if s.o.KMSKey != "" {
		in.SSEKMSKeyId = &s.o.KMSKey
	}
	return in
}

func (s *S3) cacheControl(key string) *string {
	if s.o.CacheControl == nil {
		return nil
	}
	if header := s.o.CacheControl(key); header != "" {
		return &header
	}
	return nil
}

// Delete implements runner.StoreWriter.
func (s *S3) Delete(ctx context.Context, key string) error {
	object, err := s.object(key)
	if err == nil {
		err = s.proven(ctx)
	}
	if err != nil {
		return err
	}
	return s.try(ctx, "delete "+key, func(ctx context.Context) error {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.o.Bucket, Key: object})
		if isMissing(err) {
			return nil
		}
		return err
	})
}
