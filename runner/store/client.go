package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
)

// newClient makes the SDK's client. It tries nothing again by itself: try does.
func newClient(ctx context.Context, o S3Options) (*s3.Client, error) {
	plain, err := httpClient(o.CAFile)
	if err != nil {
		return nil, err
	}
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(plain),
		config.WithLogger(logging.Nop{}), // it would write to standard error, where our own log is
	}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("the environment's AWS settings: %w", err)
	}
	if c.Region == "" && o.Endpoint == "" {
		return nil, errors.New("the bucket's region is not known: name it in the configuration, or in AWS_REGION")
	}
	if c.Region == "" {
		c.Region = "us-east-1" // what servers that have none expect
	}
	if o.LeanChecksums {
		c.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		c.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	}
	heard, ok := c.HTTPClient.(*awshttp.BuildableClient) // with what the environment adds, such as AWS_CA_BUNDLE
	if !ok {
		heard = plain
	}
	return s3.NewFromConfig(c, func(so *s3.Options) {
		if o.Endpoint != "" {
			so.BaseEndpoint = &o.Endpoint
		}
		so.UsePathStyle = o.PathStyle
		so.Retryer = aws.NopRetryer{}
		so.HTTPClient = &http.Client{
			Transport: &transport{base: heard.GetTransport(), silent: silence, rate: slowest},
			// A redirect says that the bucket is elsewhere; it is an answer, with its reason.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		so.DisableLogOutputChecksumValidationSkipped = true
	}), nil
}

// httpClient is the SDK's own, and trusts who caFile names, beside whom the system trusts.
func httpClient(caFile string) (*awshttp.BuildableClient, error) {
	client := awshttp.NewBuildableClient()
	if caFile == "" {
		return client, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM", caFile)
	}
	return client.WithTransportOptions(func(t *http.Transport) {
		if t.TLSClientConfig == nil {
			t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		t.TLSClientConfig.RootCAs = roots
	}), nil
}
