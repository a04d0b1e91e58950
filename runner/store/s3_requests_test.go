package store_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nbpress/internal/testenv/bucket"
	"nbpress/runner/store"
)

// recorder takes whatever it is sent, as an S3 server and as the one of STS that gives a
// role's credential, and keeps what it was asked. No server of ours has classes, keys or
// roles.
type recorder struct {
	*httptest.Server
	refuse bool // gives no credential

	mu       sync.Mutex // guards what follows
	requests []recorded
	forms    []url.Values // of STS
	marked   bool
}

type recorded struct {
	what   string // method, and what of an upload it is
	path   string
	header http.Header
}

func record(t *testing.T) *recorder {
	r := &recorder{}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP implements http.Handler.
func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	query := req.URL.Query()
	what := req.Method
	for _, of := range []string{"uploads", "partNumber", "uploadId"} {
		if query.Has(of) {
			what += " " + of
			break
		}
	}
	switch {
	case req.URL.Path == "/":
		_ = req.ParseForm() // what it lacks the test misses
		r.forms = append(r.forms, req.Form)
		if r.refuse {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>`)
			return
		}
		fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
			<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>session-%d</SessionToken><Expiration>%s</Expiration>
			</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, len(r.forms), time.Now().UTC().Format(time.RFC3339))
		return
	case strings.HasSuffix(req.URL.Path, "/.nbpress-store"):
		if r.marked {
			w.WriteHeader(http.StatusPreconditionFailed)
		}
		r.marked = true
		return
	case what == "POST uploads":
		fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
	case what == "POST uploadId":
		fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>`)
	default:
		w.Header().Set("ETag", `"e"`)
	}
	r.requests = append(r.requests, recorded{what, req.URL.Path, req.Header})
}

// What the configuration says of objects is asked of the server for each of them, also for
// one that is sent in parts.
func TestS3_AsksForObjectsAsConfigured(t *testing.T) {
	const encryption, key, class = "X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Storage-Class"
	for name, test := range map[string]struct {
		o    store.S3Options
		want map[string]string
	}{
		"nothing": {store.S3Options{}, map[string]string{}},
		"AES256":  {store.S3Options{Encryption: "AES256", StorageClass: "STANDARD_IA"}, map[string]string{encryption: "AES256", class: "STANDARD_IA"}},
		"KMS": {store.S3Options{Encryption: "aws:kms", KMSKey: "arn:aws:kms:eu-south-2:1:key/k"},
			map[string]string{encryption: "aws:kms", key: "arn:aws:kms:eu-south-2:1:key/k"}},
		"KMS, the account's key": {store.S3Options{Encryption: "aws:kms"}, map[string]string{encryption: "aws:kms"}},
		"lean":                   {store.S3Options{LeanChecksums: true}, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			bucket.Setenv(t)
			server := record(t)
			test.o.Bucket, test.o.Endpoint, test.o.PathStyle, test.o.Prefix = "b", server.URL, true, "team"
			s, err := store.OpenS3(t.Context(), test.o)
			if err != nil {
				t.Fatal(err)
			}
			s.Hasten(10, 1)
			page, large := []byte("<p>"), []byte("more than ten bytes")
			if err := errors.Join(s.Put(t.Context(), "pages/a.html", page), s.Create(t.Context(), "runs/x/claim-1", page),
				s.Put(t.Context(), "runs/x/large.json", large)); err != nil {
				t.Fatal(err)
			}
			sums := map[string]string{}
			for _, r := range server.requests {
				sum := r.header.Get("X-Amz-Meta-Nbpress-Sha256")
				sums[r.what+" "+r.path] = sum
				creates := r.what == "PUT" || r.what == "POST uploads"
				for _, header := range []string{encryption, key, class} {
					want := test.want[header]
					if !creates {
						want = "" // it is said once of all parts
					}
					if got := r.header.Get(header); got != want {
						t.Errorf("%s %s: %s is %q, want %q", r.what, r.path, header, got, want)
					}
				}
				checked := false
				for header := range r.header {
					checked = checked || strings.HasPrefix(header, "X-Amz-Checksum-") || header == "X-Amz-Trailer"
				}
				if carries := r.what == "PUT" || r.what == "PUT partNumber"; carries && checked == test.o.LeanChecksums {
					t.Errorf("%s %s: a checksum of the SDK's is sent: %v", r.what, r.path, checked)
				}
			}
			for request, data := range map[string][]byte{
				"PUT /b/team/pages/a.html": page, "PUT /b/team/runs/x/claim-1": page, "POST uploads /b/team/runs/x/large.json": large,
			} {
				sum := sha256.Sum256(data)
				if got := sums[request]; got != hex.EncodeToString(sum[:]) {
					t.Errorf("%s has the sum %q", request, got)
				}
			}
			if _, ok := sums["POST uploadId /b/team/runs/x/large.json"]; !ok {
				t.Error("the parts were not put together")
			}
		})
	}
}

// A role is taken with the web identity of a service account: with the token that stands in
// its file then, since a cluster writes a new one there before the old one expires.
func TestS3_TakesARoleByItsWebIdentity(t *testing.T) {
	bucket.Setenv(t)
	server := record(t)
	file := filepath.Join(t.TempDir(), "token")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_ENDPOINT_URL_STS": server.URL,
		"AWS_ROLE_ARN": "arn:aws:iam::1:role/nbpress", "AWS_WEB_IDENTITY_TOKEN_FILE": file,
	} {
		t.Setenv(name, value)
	}
	s := open(t, server.URL, "")
	s.Hasten(minPart, 1)
	for _, identity := range []string{"first-token", "second-token"} {
		if err := os.WriteFile(file, []byte(identity), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), "runs/x", nil); err != nil {
			t.Fatal(err)
		}
		form, request := server.forms[len(server.forms)-1], server.requests[len(server.requests)-1]
		if form.Get("Action") != "AssumeRoleWithWebIdentity" || form.Get("RoleArn") != "arn:aws:iam::1:role/nbpress" || form.Get("WebIdentityToken") != identity {
			t.Errorf("STS was asked %v", form)
		}
		want := fmt.Sprintf("session-%d", len(server.forms))
		if got := request.header; !strings.Contains(got.Get("Authorization"), "Credential=ASIAROLE/") || got.Get("X-Amz-Security-Token") != want {
			t.Errorf("the bucket was asked with %q and %q, want %s", got.Get("Authorization"), got.Get("X-Amz-Security-Token"), want)
		}
	}

	for name, test := range map[string]struct {
		env  map[string]string
		want string
	}{
		"refused": {nil, "(STS AssumeRoleWithWebIdentity: AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity)"},
		"away":    {map[string]string{"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"}, "(STS AssumeRoleWithWebIdentity: the server cannot be reached: connect: connection refused)"},
		"no file": {map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": file + ".gone"}, "no such file or directory)"},
		"none, and no machine that has one": {map[string]string{
			"AWS_ROLE_ARN": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1",
		}, "(ec2imds GetMetadata: the server cannot be reached: connect: connection refused)"},
	} {
		t.Run(name, func(t *testing.T) {
			server.refuse = true
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			s := open(t, server.URL, "")
			s.Hasten(minPart, 1)
			err := s.Put(t.Context(), "runs/x", nil)
			const none = "there is no credential that can be used: "
			if err == nil || !strings.Contains(err.Error(), none) || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("%v\nwant %s... %s", err, none, test.want)
			}
		})
	}
}
