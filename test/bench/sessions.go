package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// liveSessions counts the requests that are open upstream for sessions that are live on one database.
func (b *bench) liveSessions(ctx context.Context) (report, error) {
	detail := table{
		title: "Sessions live on one database, each on a connection of its own, and what is open upstream for them once it has come to rest; then one write is made:",
		head:  []string{"sessions", "`_changes` open", "other requests open", "requests until then", "sessions that saw the write", "connections lost"},
	}
	var all []int64
	for _, n := range b.sessions {
		line, open, err := b.countOpen(ctx, n)
		if err != nil {
			return report{}, err
		}
		detail.rows = append(detail.rows, line)
		all = append(all, open)
	}
	return report{
		rows: []row{{measure: "live sessions on one database: " + list(b.sessions), against: "upstream `_changes` requests open", mustBe: "1",
			measured: list(all), met: slices.Max(all) <= 1}},
		details: []table{detail},
	}, nil
}

func (b *bench) countOpen(ctx context.Context, n int) (line []string, open int64, err error) {
	err = b.withProxied(ctx, func(br *bridge, p *proxy) error {
		return b.upstream.withDatabase(ctx, func(db *database) error {
			c, err := openCrowd(ctx, br.url, db.name, n, 1)
			if err != nil {
				return err
			}
			defer c.close()
			if open, err = b.atRest(ctx, p.changes.Load); err != nil {
				return err
			}
			others, requests := p.open.Load()-open, p.requests.Load()
			if err := db.put(ctx, writeID(0)); err != nil {
				return err
			}
			_, seen, err := c.arrivals[0].wait(ctx, seenTime)
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				err = nil // that is a result
			}
			line = []string{number(n), number(open), number(others), number(requests), number(seen), number(c.lost.Load())}
			return err
		})
	})
	return line, open, err
}

const (
	seenTime = time.Minute     // a write has it to get to everybody
	restless = 2 * time.Minute // after that a number will not come to rest
)

// atRest returns a number once it has not changed for s.rest, or what it is when it will not.
func (s sizes) atRest(ctx context.Context, read func() int64) (int64, error) {
	deadline := time.Now().Add(restless)
	last, since := read(), time.Now()
	for time.Since(since) < s.rest && time.Now().Before(deadline) {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
		if now := read(); now != last {
			last, since = now, time.Now()
		}
	}
	return last, nil
}

// pause lets time pass, of which there is nothing else to wait for.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// list shows numbers with slashes between them.
func list[T ~int | ~int64](numbers []T) string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = number(n)
	}
	return strings.Join(texts, " / ")
}
