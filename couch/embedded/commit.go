package embedded

import (
	"errors"
	"sync"

	"go.etcd.io/bbolt"
)

// committer commits concurrent writes together: while one transaction is being synced to disk, the writes that arrive
// wait and then share the next. Each write returns after its transaction is durable.
type committer struct {
	mu     sync.Mutex
	queue  []*write
	commit sync.Mutex // held by the goroutine that commits for all
}

type write struct {
	apply func(*bbolt.Tx) error
	done  bool // guarded by committer.commit
	err   error
}

var errAborted = errors.New("embedded: the transaction was not committed")

// do runs apply in a transaction of file and returns once it is committed. apply may answer a *failure only while it
// has changed nothing: the transaction then goes on without it. Any other error undoes the transaction for all.
func (c *committer) do(file *bbolt.DB, apply func(*bbolt.Tx) error) error {
	w := &write{apply: apply, err: errAborted}
	c.mu.Lock()
	c.queue = append(c.queue, w)
	c.mu.Unlock()

	c.commit.Lock()
	defer c.commit.Unlock()
	if !w.done {
		c.lead(file)
	}
	return w.err
}

func (c *committer) lead(file *bbolt.DB) {
	c.mu.Lock()
	batch := c.queue
	c.queue = nil
	c.mu.Unlock()

	for _, w := range batch {
		w.done = true
	}
	outcome := make([]error, len(batch))
	err := file.Update(func(tx *bbolt.Tx) error {
		for i, w := range batch {
			outcome[i] = w.apply(tx)
			var refused *failure
			if outcome[i] != nil && !errors.As(outcome[i], &refused) {
				return outcome[i]
			}
		}
		return nil
	})
	for i, w := range batch {
		w.err = outcome[i]
		if err != nil {
			w.err = err
		}
	}
}
