package store

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"nbpress/runner"
)

// refusal is why a bucket does not work, in one line for who can mend it.
type refusal struct {
	text string
	err  error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.err }

// explain words an error: where, what, what to do. Some it leaves as they are: those
// that callers wait for.
func (s *S3Reader) explain(err error) error {
	switch {
	case err == nil, errors.Is(err, runner.ErrExists), errors.Is(err, fs.ErrInvalid), errors.Is(err, ErrUnfit):
		return err
	case isMissing(err):
		return fs.ErrNotExist
	}
	return &refusal{fmt.Sprintf("bucket %s: %s", s.where, brief(s.reason(err), reasonLimit)), err}
}

// What stands in logs of what a server says, in bytes: it may be of any length.
const (
	codeLimit    = 60
	messageLimit = 200
	reasonLimit  = 400
)

// brief is a text in one line of printable characters, and of no more bytes than limit,
// but for a mark where there were more.
func brief(text string, limit int) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, text)
	if text = strings.Join(strings.Fields(text), " "); len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + " ..."
	}
	return text
}

// reason is the first of these that fits.
func (s *S3Reader) reason(err error) string {
	for _, explained := range []string{identityReason(err), s.apiReason(err), tlsReason(err), netReason(err)} {
		if explained != "" {
			return explained
		}
	}
	var silent *errSilent
	switch text := err.Error(); {
	case errors.As(err, &silent):
		return silent.Error() + "; is the server overloaded, or the line cut?"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "no answer in time"
	default:
		return lastOf(text)
	}
}

// identityReason words why nothing can be signed. What has credentials to give said so,
// or is not there; the bucket was not asked.
func identityReason(err error) string {
	if !strings.Contains(err.Error(), "get identity") { // the SDK's words; it has no type for that
		return ""
	}
	var asked *smithy.OperationError // the innermost: the outer one is of the bucket
	for inner := err; errors.As(inner, &asked); inner = asked.Err {
	}
	why := cmp.Or(tlsReason(err), netReason(err), lastOf(err.Error()))
	if code, message := saidBy(err); code != "" {
		why = code + ": " + message
	}
	if asked != nil && asked.Service() != s3.ServiceID {
		why = asked.Service() + " " + asked.Operation() + ": " + why
	}
	return "there is no credential that can be used: give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, a web identity or a role (" + why + ")"
}

// lastOf is the innermost part of an error's text, in one line.
func lastOf(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if i := strings.LastIndex(text, ": "); i >= 0 && len(text)-i > 12 {
		return text[i+2:]
	}
	return text
}

// saidBy is what a server says of a refusal; "" where it says nothing.
func saidBy(err error) (code, message string) {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return "", ""
	}
	return brief(api.ErrorCode(), codeLimit), brief(strings.TrimSuffix(strings.TrimSpace(api.ErrorMessage()), "."), messageLimit)
}

// apiReason words what the server itself says.
// The codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func (s *S3Reader) apiReason(err error) string {
	code, message := saidBy(err)
	status := statusOf(err)
	switch code {
	case "InvalidAccessKeyId", "XAdminUserNotFound": // the second is versitygw's
		return "the server does not know the access key (" + code + "): check AWS_ACCESS_KEY_ID, or the profile"
	case "SignatureDoesNotMatch":
		return "the secret key is wrong (SignatureDoesNotMatch): check AWS_SECRET_ACCESS_KEY; a proxy that changes requests has the same effect"
	case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired":
		return "the credential has expired (" + code + "): renew it, or use a role, which renews itself"
	case "NoSuchBucket":
		return "there is no such bucket: make it, or mend its name in the configuration"
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "TemporaryRedirect":
		return "the bucket is in another region (" + code + "; " + message + "): mend region in the configuration"
	case "RequestTimeTooSkewed":
		return "the clocks of this machine and of the server differ too much (RequestTimeTooSkewed): set this machine's by NTP"
	case "NotImplemented":
		return "the server does not know this kind of request (NotImplemented; " + message + ")"
	case "SlowDown", "TooManyRequests", "ServiceUnavailable", "InternalError", "RequestTimeout":
		return fmt.Sprintf("the server turns requests away (%s); nbpress tries again", code)
	}
	switch {
	case status == http.StatusForbidden:
		return "the credential has no right to do this (" + strings.TrimPrefix(code+"; ", "; ") + "status 403): docs/operations.md lists the rights it needs"
	case status == http.StatusMovedPermanently || status == http.StatusTemporaryRedirect:
		return "the bucket is in another region, or at another endpoint: mend region in the configuration"
	case status == http.StatusTooManyRequests || status/100 == 5:
		return fmt.Sprintf("the server turns requests away (status %d); nbpress tries again", status)
	case code != "" && status != 0:
		return fmt.Sprintf("the server refuses: %s (%s, status %d)", message, code, status)
	case status != 0:
		return fmt.Sprintf("the server answers with status %d, as S3 does not; is the endpoint right?", status)
	}
	return ""
}

// tlsReason words what is wrong with a certificate.
func tlsReason(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return "nobody whom this machine trusts has signed the server's certificate: name its authority in ca_file"
	case errors.As(err, &name):
		return "the server's certificate is for another name (" + lastOf(name.Error()) + "): mend endpoint in the configuration, or the certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate is not valid at this time (" + lastOf(invalid.Error()) + "): renew it, or mend this machine's clock"
	case errors.As(err, &invalid):
		return "the server's certificate is invalid: " + lastOf(invalid.Error())
	case errors.As(err, &plain), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "the server does not speak TLS at this address: write http:// in endpoint, or use the port for https"
	}
	return ""
}

// netReason words why nobody is there.
func netReason(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		return "the name " + dns.Name + " cannot be found: mend endpoint or region in the configuration, or this machine's DNS"
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Sprintf("the server cannot be reached: %v", op.Err)
	case errors.As(err, &op):
		return fmt.Sprintf("the connection broke: %v", op.Err)
	}
	return ""
}
