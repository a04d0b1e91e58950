package lease

import (
	"context"

	"gopkg.in/yaml.v3"

	"nbpress/runner"
)

// Key is where the lease stands in the store.
const Key = "agents/lease.yaml"

// record is what stands there.
type record struct {
	Holder string `yaml:"holder"` // the agent, the same after a restart
	Life   string `yaml:"life"`   // new each time that the lease is taken
	Count  int    `yaml:"count"`  // grows while it is held
}

// read returns the lease and its text. One that cannot be read as such is nobody's, and
// stands still.
func read(ctx context.Context, store runner.StoreReader) (r record, text []byte, err error) {
	text, err = store.Get(ctx, Key)
	if err == nil && yaml.Unmarshal(text, &r) != nil {
		r = record{}
	}
	return r, text, err
}

// write writes the lease by a method of the store.
func (r record) write(ctx context.Context, method func(context.Context, string, []byte) error) error {
	data, err := runner.Encode(r)
	if err != nil {
		return err
	}
	return method(ctx, Key, data)
}
