package kube

import (
	"context"
	"fmt"
	"io/fs"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Secret returns the value of a key of a Secret in the namespace of the pods, as it is now.
// The error is fs.ErrNotExist where there is none, and fs.ErrPermission where we may not get
// it. It needs the right to get that Secret, which New does not ask for.
func (e *Executor) Secret(ctx context.Context, name, key string) (string, error) {
	secret, err := e.client.secrets.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		err = fs.ErrNotExist
	case apierrors.IsForbidden(err):
		err = fs.ErrPermission
	}
	if err != nil {
		return "", fmt.Errorf("get the Secret %s: %w", name, err)
	}
	value, there := secret.Data[key]
	if !there {
		return "", fmt.Errorf("the Secret %s has no key %s: %w", name, key, fs.ErrNotExist)
	}
	return string(value), nil
}
