package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// processorTime measures the processor time that the bridge and the upstream use for the same replications by a real client.
func (b *bench) processorTime(ctx context.Context) (report, error) {
	what := fmt.Sprintf("bridge CPU per %s documents relayed", number(b.docs))
	pid, err := b.upstreamPID()
	if errors.Is(err, errNotHere) {
		return report{rows: []row{{measure: what, against: "CouchDB's own CPU for the same", mustBe: "under 25 %",
			measured: "not measured: the CouchDB is not on this machine", failed: true}}}, nil
	}
	if err != nil {
		return report{}, err
	}
	detail := table{
		title: fmt.Sprintf("Processor time for %s documents, with child processes, median of %d runs:", number(b.docs), b.runs),
		head:  []string{"direction", "bridge", "upstream", "bridge against upstream"},
	}
	var ours, theirs time.Duration
	err = b.withBridge(ctx, b.upstream.url.String(), func(br *bridge) error {
		for _, direction := range []string{"pull", "push"} {
			o, t, err := b.processorOf(ctx, br, pid, direction)
			if err != nil {
				return err
			}
			detail.rows = append(detail.rows, []string{direction, seconds(o), seconds(t), percent(o, t)})
			ours, theirs = ours+o, theirs+t
		}
		return nil
	})
	return report{
		rows: []row{{measure: what + ", pulled and pushed", against: "the upstream's own CPU for the same: " + seconds(theirs), mustBe: "under 25 %",
			measured: seconds(ours) + ": " + percent(ours, theirs), met: 4*ours < theirs}},
		details: []table{detail},
	}, err
}

func percent(part, whole time.Duration) string {
	return fmt.Sprintf("%.0f %%", 100*float64(part)/float64(whole))
}

// upstreamPID is the process of the upstream.
func (b *bench) upstreamPID() (int, error) {
	if b.upstream.own != nil {
		return b.upstream.own.pid(), nil
	}
	port, err := strconv.ParseUint(b.upstream.url.Port(), 10, 16)
	if err != nil {
		return 0, err
	}
	return listenerPID(uint16(port))
}

// processorOf is what a replication costs the bridge and the upstream, medians of all runs. Writing the documents that are
// to be pulled is not part of it.
func (b *bench) processorOf(ctx context.Context, br *bridge, upstreamPID int, direction string) (bridge, upstream time.Duration, err error) {
	used := func() ([2]time.Duration, error) {
		ours, err := processor(br.pid())
		theirs, other := processor(upstreamPID)
		return [2]time.Duration{ours, theirs}, errors.Join(err, other)
	}
	c := &bridgeContender{b.upstream, br, br.url, b.docs}
	var all [2][]time.Duration
	for range b.runs {
		address, name, err := c.place(ctx, direction)
		if err != nil {
			return 0, 0, err
		}
		before, err := used()
		if err == nil {
			_, err = b.runClient(ctx, address, name, direction)
		}
		after, failed := used()
		if err := errors.Join(err, failed, c.remove(ctx, name)); err != nil {
			return 0, 0, err
		}
		for i := range all {
			all[i] = append(all[i], after[i]-before[i])
		}
	}
	return median(all[0]), median(all[1]), nil
}
