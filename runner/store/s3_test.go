package store_test

import (
	"testing"

	"nbpress/internal/testenv/bucket"
	"nbpress/runner"
	"nbpress/runner/runnertest"
	"nbpress/runner/store"
)

// open opens the store in the bucket of a server, below a prefix.
func open(t *testing.T, url, prefix string) *store.S3 {
	t.Helper()
	s, err := store.OpenS3(t.Context(), store.S3Options{Bucket: bucket.Bucket, Prefix: prefix, Endpoint: url, PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestS3_Conforms(t *testing.T) {
	bucket.Setenv(t)
	server := bucket.Start(t)
	n := 0
	runnertest.Store(t, func(t *testing.T) runner.Store {
		n++
		return open(t, server.URL, "team/"+string(rune('a'+n)))
	})
}
