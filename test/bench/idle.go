package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// idleConnections measures what idle connections cost in memory of the bridge process, alone and with a live session each.
func (b *bench) idleConnections(ctx context.Context) (report, error) {
	detail := table{
		title: fmt.Sprintf("VmRSS of the bridge before and with %s idle connections, soon after they were opened and %s later, in which Go has collected garbage at least once, and clients were pinged:", number(b.idle), b.settle),
		head:  []string{"connections with", "process alone", "with them, soon", "with them, later", "per connection, soon", "per connection, later", "connections lost"},
	}
	var each [2]float64
	for i, live := range []bool{false, true} {
		line, per, err := b.weigh(ctx, live)
		if err != nil {
			return report{}, err
		}
		detail.rows = append(detail.rows, line)
		each[i] = per
	}
	what := number(b.idle) + " idle connections"
	return report{
		rows: []row{
			{measure: what + " with one live session each", against: "RSS per connection of the bridge process", mustBe: "at most 25 KB",
				measured: kilobytes(each[1]), met: each[1] <= 25_000},
			{measure: what + " alone", against: "the same", mustBe: "at most 18 KB", measured: kilobytes(each[0]), met: each[0] <= 18_000},
		},
		details: []table{detail},
	}, nil
}

// weigh measures a new bridge with idle connections.
func (b *bench) weigh(ctx context.Context, live bool) (line []string, each float64, err error) {
	err = b.upstream.withDatabase(ctx, func(db *database) error {
		return b.withBridge(ctx, b.upstream.url.String(), func(br *bridge) error {
			rss := func() (int64, error) { return memory(strconv.Itoa(br.pid()), "VmRSS") }
			empty, err := b.settled(ctx, rss)
			if err != nil {
				return err
			}
			name, with := "", "nothing"
			if live {
				name, with = db.name, "one live session"
			}
			c, err := openCrowd(ctx, br.url, name, b.idle, 0)
			if err != nil {
				return err
			}
			defer c.close()
			soon, err := b.settled(ctx, rss)
			if err != nil {
				return err
			}
			if err := pause(ctx, b.settle); err != nil {
				return err
			}
			later, err := b.settled(ctx, rss)
			per := func(full int64) float64 { return float64(full-empty) / float64(b.idle) }
			each = per(later)
			line = []string{with, megabytes(empty), megabytes(soon), megabytes(later), kilobytes(per(soon)), kilobytes(each), number(c.lost.Load())}
			return err
		})
	})
	return line, each, err
}

// settled is memory once it stays within a megabyte for a while.
func (s sizes) settled(ctx context.Context, read func() (int64, error)) (int64, error) {
	var failed error
	if _, err := s.atRest(ctx, func() int64 {
		n, err := read()
		failed = errors.Join(failed, err)
		return n >> 20 // or it would never be at rest
	}); err != nil || failed != nil {
		return 0, errors.Join(err, failed)
	}
	return read()
}
