package kube

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// What Options that say nothing stand for. Who sets bounds to them asks too.
const (
	DefaultSlots    = 10
	DefaultMilliCPU = 500
	DefaultMemory   = 1 << 30

	defaultInstance = "nbpress"
)

// Options say where pods run and what they look like. Namespace and Image are required,
// all else has defaults.
type Options struct {
	// Kubeconfig is the file that says how to reach the cluster. "": the service account
	// of the pod that the agent runs in.
	Kubeconfig string
	Context    string // of the kubeconfig; "" means its current one
	Namespace  string // where the pods run; it must exist

	// Instance tells the pods of several agents in a namespace apart. Two agents at work
	// must not have the same. "" means "nbpress".
	Instance string

	// Image is the stock kernel image: for desks, and for the kernels of bundles that name
	// none.
	Image string

	Slots   int  // how many sandboxes there may be at once, for the speed of requests to the API; 0 means DefaultSlots
	Forward bool // reach pods through port-forwards, for an agent outside of the cluster

	RuntimeClass  string            // of the pods, as gvisor; "" means the cluster's default
	PriorityClass string            // of the pods; "" means the cluster's default
	NodeSelector  map[string]string // labels that a pod's node must have
	Tolerations   []Toleration      // of taints of nodes
	PullSecrets   []string          // names of Secrets with credentials for images

	// User is who the programs of all pods run as, for clusters and images that prescribe it.
	// 0: each pod has a user of its own, with a number above 100,000.
	User int64

	MilliCPU int64 // of a kernel whose report says nothing; 0 means DefaultMilliCPU
	Memory   int64 // of a kernel whose report says nothing, in bytes; 0 means DefaultMemory
	Storage  int64 // of the work folder and of the folder for temporary files, each, in bytes; 0 means 2 GiB

	StartTimeout time.Duration // from asking for a pod until both containers run, with pulling images; 0 means 10 minutes

	// Patience is how long a pod may wait for a node, since a cluster may be growing, or for
	// quota while that lets no other pod in; pulling an image may keep failing for as long,
	// but no more than a minute. 0 means 5 minutes. The log tells of it at once.
	Patience time.Duration

	Log *slog.Logger // nil means slog.Default()
}

// Toleration lets pods run on nodes with a taint. The fields mean what they mean in a pod's
// spec, see https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/.
type Toleration struct {
	Key      string
	Operator string // Equal or Exists; "" means Equal
	Value    string
	Effect   string // NoSchedule, PreferNoSchedule, NoExecute; "" means all
	Seconds  *int64 // for NoExecute: how long it is tolerated; nil: for ever
}

// complete returns the options with their defaults, or all that is wrong with them.
func (o Options) complete() (Options, error) {
	o.Instance = cmp.Or(o.Instance, defaultInstance)
	o.Slots = cmp.Or(o.Slots, DefaultSlots)
	o.MilliCPU = cmp.Or(o.MilliCPU, DefaultMilliCPU)
	o.Memory = cmp.Or(o.Memory, DefaultMemory)
	o.Storage = cmp.Or(o.Storage, 2<<30)
	o.StartTimeout = cmp.Or(o.StartTimeout, 10*time.Minute)
	o.Patience = cmp.Or(o.Patience, 5*time.Minute)
	o.Log = cmp.Or(o.Log, slog.Default())
	var errs []error
	if problems := validation.IsDNS1123Label(o.Namespace); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("namespace %q: %s", o.Namespace, strings.Join(problems, "; ")))
	}
	if problems := validation.IsDNS1123Label(o.Instance); len(problems) > 0 || len(o.Instance) > maxInstance {
		errs = append(errs, fmt.Errorf("instance %q: want at most %d lower-case letters, digits and dashes, as weekly-press", o.Instance, maxInstance))
	}
	if o.Image == "" {
		errs = append(errs, errors.New("no image: name the kernel image that pods run"))
	}
	return o, errors.Join(errs...)
}

// maxInstance leaves room in names of 63 characters.
const maxInstance = 30
