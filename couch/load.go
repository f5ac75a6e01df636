package couch

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// Load is how much is asked of a server.
type Load struct {
	Limit    int // calls that may be under way; adapts to what the server can take
	InFlight int // calls that are
	Waiting  int // calls that wait until they may be made
}

// Load is that of the server now, by this client and all views of it.
func (c *Client) Load() Load { return c.limiter.load() }

// Call is what is known of one request when the headers of its answer have come, or will not.
type Call struct {
	Op        string        // the endpoint: "_changes", "_bulk_docs", "document", "/"; one of a fixed set
	Status    int           // 0: there was no answer
	Cancelled bool          // there was none because the caller did not want it any more
	Took      time.Duration // from its sending, without the time it waited for that
}

// Observe has fn told of every request of this client and all views of it from now on, beside those that are told already. It
// is called by the goroutine that makes the request, so it must not wait for anything.
func (c *Client) Observe(fn func(Call)) {
	c.observers.mu.Lock()
	defer c.observers.mu.Unlock()
	c.observers.all = append(c.observers.all, fn)
}

type observers struct {
	mu  sync.RWMutex
	all []func(Call)
}

func (o *observers) tell(c Call) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	for _, fn := range o.all {
		fn(c)
	}
}

// enter waits for the call's place; nil: it needs none.
func (c *Client) enter(ctx context.Context, r request, op string) (*place, error) {
	if r.place == noPlace {
		return nil, nil
	}
	patience := c.options.Timeout
	if r.answerWithin > 0 {
		patience = min(patience, r.answerWithin)
	}
	return c.limiter.enter(ctx, r.flow, op, patience)
}

// answered takes account of an answer whose headers came.
func (c *Client) answered(p *place, r request, began time.Time, res *http.Response) {
	var k kind
	if r.place == wholePlace && r.answerWithin == 0 { // what may take its time says nothing by doing so
		k = kindOf(r.method+" "+r.op, r.length)
	}
	p.answered(k, res.StatusCode, retryAfter(res.Header.Get("Retry-After"), time.Now()))
	c.observers.tell(Call{Op: r.op, Status: res.StatusCode, Took: time.Since(began)})
}

// unanswered takes account of a call that failed with err, as [callFailure] makes it.
func (c *Client) unanswered(p *place, r request, began time.Time, err error) {
	var e *Error
	answered := errors.As(err, &e)
	if errors.Is(err, errSilent) {
		p.silent()
	}
	c.observers.tell(Call{Op: r.op, Cancelled: !answered, Took: time.Since(began)})
}
