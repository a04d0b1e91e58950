package kube

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestE2E_SecretIsReadAsItIsNow(t *testing.T) {
	c := onCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Data: map[string][]byte{"url": []byte("first")}}
	if _, err := c.client.secrets.Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	e := &Executor{client: c.client}
	if value, err := e.Secret(ctx, "db", "url"); err != nil || value != "first" {
		t.Errorf("got %q, %v", value, err)
	}
	secret.Data["url"] = []byte("second")
	if _, err := c.client.secrets.Update(ctx, secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if value, err := e.Secret(ctx, "db", "url"); err != nil || value != "second" {
		t.Errorf("got %q, %v", value, err)
	}
	for _, missing := range [][2]string{{"db", "password"}, {"other", "url"}} {
		if _, err := e.Secret(ctx, missing[0], missing[1]); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: got %v, want fs.ErrNotExist", missing, err)
		}
	}
}
