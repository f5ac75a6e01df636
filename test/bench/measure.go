package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// measure is something that is measured with its peer.
type measure struct {
	name string
	run  func(*bench, context.Context) (report, error)
}

// measures are in the order of the tables.
func measures() []measure {
	return []measure{
		{"pull", (*bench).pull},
		{"push", (*bench).push},
		{"requests", (*bench).requests},
		{"sessions", (*bench).liveSessions},
		{"fanout", (*bench).fanOut},
		{"idle", (*bench).idleConnections},
		{"changes", (*bench).streamedChanges},
		{"attachment", (*bench).attachments},
		{"cpu", (*bench).processorTime},
	}
}

func measureNames() []string {
	var names []string
	for _, m := range measures() {
		names = append(names, m.name)
	}
	return names
}

// report is what a measure found.
type report struct {
	rows    []row
	details []table
}

// row is one comparison, a line of the first table.
type row struct {
	measure, against, mustBe, measured string
	met                                bool
	failed                             bool // nothing was measured; measured says why
}

// timeout bounds one measure at full size, on a slow machine.
const timeout = 30 * time.Minute

// measureAll runs the measures that are wanted and returns the tables. The error has all that failed.
func (b *bench) measureAll(ctx context.Context) (string, error) {
	var all report
	var failures error
	for _, m := range measures() {
		if !b.only.MatchString(m.name) || ctx.Err() != nil {
			continue
		}
		began := time.Now()
		b.logf("%s: measuring", m.name)
		r, err := b.measureOne(ctx, m)
		b.logf("%s: took %s", m.name, time.Since(began).Round(time.Second))
		if err != nil {
			failures = errors.Join(failures, fmt.Errorf("%s: %w", m.name, err))
			b.logf("%s: failed: %v", m.name, err)
			r.rows = append(r.rows, row{measure: m.name, measured: "not measured: it failed", failed: true})
		}
		all.rows = append(all.rows, r.rows...)
		all.details = append(all.details, r.details...)
	}
	return all.markdown(b.facts()), failures
}

func (b *bench) measureOne(ctx context.Context, m measure) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return m.run(b, ctx)
}

// facts say where the figures are from.
func (b *bench) facts() string {
	return fmt.Sprintf("Upstream: %s. Machine: %d cores, %s/%s, %s.", b.upstream.name, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}
