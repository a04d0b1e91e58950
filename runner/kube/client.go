package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// client speaks of the few kinds of objects that this package has to do with, in one
// namespace.
type client struct {
	config    *rest.Config
	namespace string

	core, coordination, authorization rest.Interface

	pods       *gentype.ClientWithList[*corev1.Pod, *corev1.PodList]
	secrets    *gentype.Client[*corev1.Secret]
	configMaps *gentype.Client[*corev1.ConfigMap]
	leases     *gentype.Client[*coordinationv1.Lease]
	reviews    *gentype.Client[*authorizationv1.SelfSubjectAccessReview]
}

// requestTimeout bounds a request to the API that is no stream.
const requestTimeout = 30 * time.Second

// newScheme knows the types of this package, and the options of the streams.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(corev1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme), authorizationv1.AddToScheme(scheme))
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return scheme, err
}

// restConfig finds the cluster. perSecond bounds the requests of a client.
func restConfig(kubeconfig, context string, perSecond float32) (*rest.Config, error) {
	silence() // before the first who might log: klog is not made to be told later
	var config *rest.Config
	var err error
	if kubeconfig == "" {
		if config, err = rest.InClusterConfig(); err != nil {
			return nil, fmt.Errorf("no kubeconfig is named, and this is no pod of a cluster: %w", err)
		}
	} else {
		rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
		config, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("read kubeconfig %s: %w", kubeconfig, err)
		}
	}
	config.QPS, config.Burst = perSecond, int(2*perSecond)
	config.UserAgent = "nbpress"
	return config, nil
}

// silence keeps client-go's own log from the agent's standard error. It tells of nothing that
// does not come as an error as well.
var silence = sync.OnceFunc(func() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) })

// newClient makes a client. It does not connect.
func newClient(config *rest.Config, namespace string) (*client, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	codecs := serializer.NewCodecFactory(scheme)
	parameters := runtime.NewParameterCodec(scheme)
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	open := func(group schema.GroupVersion) rest.Interface {
		c := rest.CopyConfig(config)
		c.GroupVersion, c.APIPath = &group, "/apis"
		if group.Group == "" {
			c.APIPath = "/api"
		}
		c.NegotiatedSerializer = codecs.WithoutConversion()
		client, clientErr := rest.RESTClientForConfigAndClient(c, transport)
		err = errors.Join(err, clientErr)
		return client
	}
	k := &client{
		config: config, namespace: namespace,
		core:          open(corev1.SchemeGroupVersion),
		coordination:  open(coordinationv1.SchemeGroupVersion),
		authorization: open(authorizationv1.SchemeGroupVersion),
	}
	if err != nil {
		return nil, err
	}
	k.pods = gentype.NewClientWithList("pods", k.core, parameters, namespace,
		func() *corev1.Pod { return &corev1.Pod{} }, func() *corev1.PodList { return &corev1.PodList{} })
	k.secrets = gentype.NewClient("secrets", k.core, parameters, namespace, func() *corev1.Secret { return &corev1.Secret{} })
	k.configMaps = gentype.NewClient("configmaps", k.core, parameters, namespace, func() *corev1.ConfigMap { return &corev1.ConfigMap{} })
	k.leases = gentype.NewClient("leases", k.coordination, parameters, namespace, func() *coordinationv1.Lease { return &coordinationv1.Lease{} })
	k.reviews = gentype.NewClient("selfsubjectaccessreviews", k.authorization, parameters, "",
		func() *authorizationv1.SelfSubjectAccessReview { return &authorizationv1.SelfSubjectAccessReview{} })
	return k, nil
}

// right is something that one may be allowed to do with a kind of objects.
type right struct{ group, resource, verb string }

func (r right) String() string { return r.verb + " " + r.resource }

// rightsOf lists what an executor does.
func rightsOf(forward bool) []right {
	rights := []right{
		{"", "pods", "create"}, {"", "pods", "get"}, {"", "pods", "list"}, {"", "pods", "watch"}, {"", "pods", "delete"},
		{"", "pods/exec", "create"}, {"", "pods/exec", "get"}, // SPDY's and WebSocket's
		{"", "secrets", "create"}, {"", "secrets", "delete"},
		{"", "configmaps", "create"}, {"", "configmaps", "get"},
	}
	if forward {
		rights = append(rights, right{"", "pods/portforward", "create"}, right{"", "pods/portforward", "get"})
	}
	return rights
}

// check asks the cluster whether we may do all that, and names what we may not.
func (k *client) check(ctx context.Context, rights []right) error {
	var missing []string
	for _, r := range rights {
		resource, sub, _ := strings.Cut(r.resource, "/")
		review, err := k.reviews.Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: k.namespace, Group: r.group, Resource: resource, Subresource: sub, Verb: r.verb,
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("ask the cluster at %s for our rights: %w", k.config.Host, err)
		}
		if !review.Status.Allowed {
			missing = append(missing, r.String())
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the cluster at %s does not let us do in namespace %s: %s; give the agent's account a Role with these",
			k.config.Host, k.namespace, strings.Join(missing, ", "))
	}
	return nil
}
