package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"nbpress/internal/strict"
	"nbpress/runner"
	"nbpress/runner/store"
)

// storeConfig is the configuration's `store`: a folder or a bucket.
type storeConfig struct {
	Dir string `json:"dir"`
	S3  struct {
		Bucket       string `json:"bucket"`
		Prefix       string `json:"prefix"`
		Region       string `json:"region"`
		Endpoint     string `json:"endpoint"`
		PathStyle    *bool  `json:"path_style"`
		Encryption   string `json:"encryption"`
		KMSKey       string `json:"kms_key"`
		StorageClass string `json:"storage_class"`
		Checksums    string `json:"checksums"`
		CAFile       string `json:"ca_file"`
	} `json:"s3"`
}

// problems are the mistakes that a schema cannot see.
func (c storeConfig) problems(doc *strict.Document) []strict.Problem {
	var problems []strict.Problem
	switch dir, s3 := !doc.Lacks("/store/dir"), !doc.Lacks("/store/s3"); {
	case !doc.Has("/store"): // the schema says so
	case dir && s3:
		problems = append(problems, doc.AtKey("/store/s3").Problem(`"dir" and "s3" are both given`, "keep one of them"))
	case !dir && !s3:
		problems = append(problems, doc.AtKey("/store").Problem("the store is nowhere",
			`name a folder in "dir", or a bucket in "s3", as {bucket: acme-reports}`))
	}
	if endpoint, err := url.Parse(c.S3.Endpoint); err == nil && endpoint.User != nil {
		problems = append(problems, doc.At("/store/s3/endpoint").Problem(
			"the address holds a password, which would stand in files and logs", `remove it: a bucket's credential is found as by AWS's own tools`))
	}
	if c.S3.KMSKey != "" && c.S3.Encryption != "aws:kms" {
		problems = append(problems, doc.AtKey("/store/s3/kms_key").Problem(
			`a key is named, and nothing is encrypted with it`, `add encryption: aws:kms`))
	}
	return problems
}

// String says where the store is.
func (c storeConfig) String() string {
	if c.S3.Bucket == "" {
		return c.Dir
	}
	place := "s3://" + c.S3.Bucket
	if c.S3.Prefix != "" {
		place += "/" + c.S3.Prefix
	}
	return place
}

// open opens the store to write to it. A bucket that is away may come back, and is
// waited for; one that cannot be a store is refused.
func (c storeConfig) open(ctx context.Context, log *slog.Logger) (runner.Store, error) {
	if c.S3.Bucket == "" {
		return store.OpenDir(c.Dir)
	}
	bucket, err := store.OpenS3(ctx, c.s3())
	if err != nil {
		return nil, wrongUse(err)
	}
	asking, cancel := context.WithTimeout(ctx, 2*readyTimeout)
	defer cancel()
	if err := bucket.Ready(asking); errors.Is(err, store.ErrUnfit) {
		return nil, wrongUse(err)
	} else if err != nil && ctx.Err() == nil {
		log.Error("store is away; nothing starts before it is there", "error", err)
	}
	return bucket, nil
}

// reader opens the store to read from it.
func (c storeConfig) reader(ctx context.Context) (runner.StoreReader, error) {
	if c.S3.Bucket == "" {
		return store.NewDirReader(c.Dir), nil
	}
	bucket, err := store.NewS3Reader(ctx, c.s3())
	return bucket, wrongUse(err)
}

func (c storeConfig) s3() store.S3Options {
	pathStyle := c.S3.Endpoint != ""
	if c.S3.PathStyle != nil {
		pathStyle = *c.S3.PathStyle
	}
	return store.S3Options{
		Bucket: c.S3.Bucket, Prefix: c.S3.Prefix, Region: c.S3.Region, Endpoint: c.S3.Endpoint, PathStyle: pathStyle,
		Encryption: c.S3.Encryption, KMSKey: c.S3.KMSKey, StorageClass: c.S3.StorageClass,
		LeanChecksums: c.S3.Checksums == "when_required", CAFile: c.S3.CAFile, CacheControl: runner.CacheControl,
	}
}

// private lists the paths of the store that no notebook may see.
func (c storeConfig) private() []string {
	if c.S3.Bucket == "" {
		return []string{c.Dir}
	}
	var paths []string
	if home, err := os.UserHomeDir(); err == nil {
		paths = append(paths, filepath.Join(home, ".aws"))
	}
	for _, variable := range []string{"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"} {
		if path := cmp.Or(os.Getenv(variable), os.DevNull); path != os.DevNull {
			paths = append(paths, under(".", path))
		}
	}
	return paths
}
