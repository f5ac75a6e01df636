package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// fanOut measures writes, one after the other, that go to many live sessions: how many requests each costs upstream, with a
// proxy in between that counts, and how much later than a direct reader of _changes the last client has it, without the proxy.
func (b *bench) fanOut(ctx context.Context) (report, error) {
	extra, err := b.extraRequests(ctx)
	if err != nil {
		return report{}, fmt.Errorf("counting: %w", err)
	}
	late, err := b.lateness(ctx)
	if err != nil {
		return report{}, fmt.Errorf("timing: %w", err)
	}
	p99 := percentile(late, 99)
	what := fmt.Sprintf("a write fanned out to %s live sessions", number(b.fanout))
	return report{
		rows: []row{
			{measure: what, against: "extra upstream requests per write", mustBe: "0", measured: fmt.Sprintf("%.2f", extra), met: extra == 0},
			{measure: "the same, time to the last client", against: "a direct `_changes` reader in the same run", mustBe: "p99 within 50 ms of it",
				measured: "p99 " + milliseconds(p99) + " later", met: p99 <= 50*time.Millisecond},
		},
		details: []table{{
			title: fmt.Sprintf("How much later than a direct reader the last of %s clients saw each of %s writes:", number(b.fanout), number(len(late))),
			head:  []string{"least", "p50", "p90", "p99", "most"},
			rows: [][]string{{milliseconds(slices.Min(late)), milliseconds(percentile(late, 50)), milliseconds(percentile(late, 90)),
				milliseconds(p99), milliseconds(slices.Max(late))}},
		}},
	}, nil
}

// extraRequests is how many requests each write costs upstream.
func (b *bench) extraRequests(ctx context.Context) (extra float64, err error) {
	writes := max(1, b.writes/4)
	err = b.withProxied(ctx, func(br *bridge, p *proxy) error {
		return b.upstream.withDatabase(ctx, func(db *database) error {
			c, err := openCrowd(ctx, br.url, db.name, b.fanout, writes+1)
			if err != nil {
				return err
			}
			defer c.close()
			// The first write is not counted: with it everybody is surely live.
			if err := writeAndWait(ctx, db, c, 0); err != nil {
				return err
			}
			if _, err := b.atRest(ctx, p.requests.Load); err != nil {
				return err
			}
			before := p.requests.Load()
			for n := range writes {
				if err := writeAndWait(ctx, db, c, n+1); err != nil {
					return err
				}
			}
			extra = float64(p.requests.Load()-before) / float64(writes)
			return nil
		})
	})
	return extra, err
}

func writeAndWait(ctx context.Context, db *database, c *crowd, n int) error {
	if err := db.put(ctx, writeID(n)); err != nil {
		return err
	}
	return c.everybody(ctx, n)
}

// everybody waits until every client has seen the write.
func (c *crowd) everybody(ctx context.Context, n int) error {
	_, seen, err := c.arrivals[n].wait(ctx, seenTime)
	if err != nil {
		return fmt.Errorf("%d of %d clients saw the write %d, and %d lost their connection: %w", seen, len(c.clients), n, c.lost.Load(), err)
	}
	return nil
}

// lateness is how much later than a direct reader the last client saw each write.
func (b *bench) lateness(ctx context.Context) (late []time.Duration, err error) {
	err = b.withBridge(ctx, b.upstream.url.String(), func(br *bridge) error {
		return b.upstream.withDatabase(ctx, func(db *database) error {
			c, err := openCrowd(ctx, br.url, db.name, b.fanout, b.writes+1)
			if err != nil {
				return err
			}
			defer c.close()
			direct, err := followDirectly(ctx, db, b.writes+1)
			if err != nil {
				return err
			}
			defer direct.close()
			for n := range b.writes + 1 {
				if err := writeAndWait(ctx, db, c, n); err != nil {
					return err
				}
				first, err := direct.sawAt(ctx, n)
				if err != nil {
					return err
				}
				if n > 0 { // with the first everybody is surely live
					late = append(late, c.arrivals[n].last.Sub(first))
				}
			}
			return nil
		})
	})
	return late, err
}

// directReader is a plain reader of one continuous _changes request.
type directReader struct {
	seen chan sighting
	end  context.CancelFunc
	done chan struct{}
	err  error // set before done is closed
}

type sighting struct {
	write int
	at    time.Time
}

// followDirectly reads the changes of a database that are still to come, writes writes at most.
func followDirectly(ctx context.Context, db *database, writes int) (*directReader, error) {
	ctx, end := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, db.url.String()+"/"+db.name+"/_changes?feed=continuous&since=0&style=all_docs&heartbeat=10000", nil)
	if err != nil {
		end()
		return nil, err
	}
	response, err := (&http.Client{Transport: db.http.Transport}).Do(request) // without the time limit of db.http
	if err != nil {
		end()
		return nil, errors.New("the direct reader of _changes got no answer")
	}
	if response.StatusCode != http.StatusOK {
		end()
		_ = response.Body.Close()
		return nil, fmt.Errorf("the direct reader of _changes got %s", response.Status)
	}
	r := &directReader{seen: make(chan sighting, writes), end: end, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		defer response.Body.Close()
		r.err = r.read(bufio.NewReader(response.Body))
	}()
	return r, nil
}

func (r *directReader) read(lines *bufio.Reader) error {
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return err
		}
		at := time.Now()
		if id, ok := changedID(line); ok {
			if n, ok := writeNumber(id); ok {
				r.seen <- sighting{n, at}
			}
		}
	}
}

// sawAt is when the reader saw the write. Writes are asked for in order.
func (r *directReader) sawAt(ctx context.Context, write int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, seenTime)
	defer cancel()
	for {
		select {
		case s := <-r.seen:
			if s.write == write {
				return s.at, nil
			}
		case <-r.done:
			return time.Time{}, fmt.Errorf("the direct reader of _changes ended: %w", r.err)
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("the direct reader of _changes did not see the write %d: %w", write, ctx.Err())
		}
	}
}

func (r *directReader) close() {
	r.end()
	<-r.done
}
