package kube

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestE2E_SecretIsReadAsItIsNow(t *testing.T) {
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		t.Skip("no cluster: KUBECONFIG is not set")
	}
	config, err := restConfig(kubeconfig, "", 50)
	if err != nil {
		t.Fatal(err)
	}
	namespace := "secret-" + strings.ToLower(rand.Text()[:10])
	client, err := newClient(config, namespace)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := client.core.Post().Resource("namespaces").Body(space).Do(ctx).Error(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.core.Delete().Resource("namespaces").Name(namespace).Do(context.WithoutCancel(ctx)).Error(); err != nil {
			t.Error(err)
		}
	})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Data: map[string][]byte{"url": []byte("first")}}
	if _, err := client.secrets.Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	e := &Executor{client: client}
	if value, err := e.Secret(ctx, "db", "url"); err != nil || value != "first" {
		t.Errorf("got %q, %v", value, err)
	}
	secret.Data["url"] = []byte("second")
	if _, err := client.secrets.Update(ctx, secret, metav1.UpdateOptions{}); err != nil {
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
