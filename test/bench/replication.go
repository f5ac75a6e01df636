package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// clientTime bounds one replication by a real client, and nodeTime an answer of the original server.
const (
	clientTime = 15 * time.Minute
	nodeTime   = 5 * time.Minute
)

// contender serves a database to the real client.
type contender interface {
	// place makes a database, with the documents in it if it is to be pulled from, and returns where it is.
	place(ctx context.Context, direction string) (address, database string, err error)
	// holds counts the documents of the database.
	holds(ctx context.Context, database string) (int, error)
	// remove takes the database away, whatever became of ctx.
	remove(ctx context.Context, database string) error
}

func (b *bench) pull(ctx context.Context) (report, error) { return b.replication(ctx, "pull") }
func (b *bench) push(ctx context.Context) (report, error) { return b.replication(ctx, "push") }

// replication has the real client replicate with the bridge, the original server and the floor in turns.
func (b *bench) replication(ctx context.Context, direction string) (report, error) {
	var r report
	err := b.withContenders(ctx, func(br *bridgeContender, all []contender) error {
		times := make([][]time.Duration, len(all))
		var whole time.Duration // the last replication with the bridge, with all that is around it
		for range b.runs {
			for i, c := range all {
				began := time.Now()
				took, err := b.replicate(ctx, c, direction)
				if err != nil {
					return err
				}
				times[i] = append(times[i], took)
				if i == 0 {
					whole = time.Since(began)
				}
			}
		}
		r = b.replicationReport(direction, times)
		if b.profile == "" {
			return nil
		}
		return b.profiled(ctx, br.bridge, direction, whole, func() error {
			_, err := b.replicate(ctx, br, direction)
			return err
		})
	})
	return r, err
}

// contenderNames are in the order of withContenders.
var contenderNames = []string{"the bridge", "the original server over PouchDB in memory", "a server that answers at once"}

func (b *bench) replicationReport(direction string, times [][]time.Duration) report {
	ours, original, least := median(times[0]), median(times[1]), median(times[2])
	faster, slower := float64(original)/float64(ours), float64(ours)/float64(least)
	what := fmt.Sprintf("%s documents of 200 B %sed by a real client", number(b.docs), direction)
	detail := table{
		title: fmt.Sprintf("%s: pouch-websocket-sync 0.3.0 on PouchDB 5.4.5, %d runs of each in turns, until the last document was written:", what, b.runs),
		head:  []string{"server", "least", "median", "most", "median against the bridge's"},
	}
	for i, name := range contenderNames {
		detail.rows = append(detail.rows, []string{name, seconds(slices.Min(times[i])), seconds(median(times[i])), seconds(slices.Max(times[i])),
			fmt.Sprintf("%.2f", float64(median(times[i]))/float64(ours))})
	}
	return report{
		rows: []row{
			{measure: what, against: contenderNames[1] + ": " + seconds(original), mustBe: "at least 2 times faster",
				measured: fmt.Sprintf("%s: %.2f times faster", seconds(ours), faster), met: faster >= 2},
			{measure: "the same", against: contenderNames[2] + ": " + seconds(least), mustBe: "within 1.3 times",
				measured: fmt.Sprintf("%s: %.2f times", seconds(ours), slower), met: slower <= 1.3},
		},
		details: []table{detail},
	}
}

// replicate is one replication by a new client. The documents are counted on both sides afterwards.
func (b *bench) replicate(ctx context.Context, c contender, direction string) (took time.Duration, err error) {
	address, name, err := c.place(ctx, direction)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.remove(ctx, name)) }()
	if took, err = b.runClient(ctx, address, name, direction); err != nil {
		return 0, err
	}
	there, err := c.holds(ctx, name)
	if err == nil && there != b.docs {
		err = fmt.Errorf("%s: the server has %d documents, not %d", direction, there, b.docs)
	}
	return took, err
}

// runClient is one replication by a new Node process.
func (b *bench) runClient(ctx context.Context, address, database, direction string) (time.Duration, error) {
	install, err := b.clients()
	if err != nil {
		return 0, err
	}
	documents, err := b.writeDocuments()
	if err != nil {
		return 0, err
	}
	task, err := json.Marshal(map[string]any{"install": install, "address": address, "database": database, "direction": direction,
		"count": b.docs, "documents": documents})
	if err != nil {
		return 0, err
	}
	text, err := command(ctx, clientTime, b.root, nil, "node", filepath.Join("test", "bench", "client.mjs"), string(task))
	if err != nil {
		return 0, err
	}
	var result struct {
		MS             float64
		Written, There int
	}
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		return 0, fmt.Errorf("the client said %.200q: %w", text, err)
	}
	if result.There != b.docs || result.Written != b.docs {
		return 0, fmt.Errorf("%s: the client has %d documents and saw %d written, not %d", direction, result.There, result.Written, b.docs)
	}
	return time.Duration(result.MS * float64(time.Millisecond)), nil
}

// withContenders has fn use the bridge, the original server and the floor, in this order.
func (b *bench) withContenders(ctx context.Context, fn func(*bridgeContender, []contender) error) error {
	original, err := b.startOriginal(ctx)
	if err != nil {
		return err
	}
	least, err := openFloor()
	if err != nil {
		return errors.Join(err, original.stop())
	}
	err = b.withBridge(ctx, b.upstream.url.String(), func(br *bridge) error {
		ours := &bridgeContender{b.upstream, br, br.url, b.docs}
		return fn(ours, []contender{ours, original, &floorContender{least, b.docs}})
	})
	return errors.Join(err, least.close(), original.stop())
}

// bridgeContender is a bridge in front of the upstream.
type bridgeContender struct {
	upstream *upstream
	bridge   *bridge
	address  string // of the bridge, or of what stands before it
	docs     int
}

func (c *bridgeContender) place(ctx context.Context, direction string) (string, string, error) {
	db, err := c.upstream.createDatabase(ctx)
	if err != nil || direction != "pull" {
		return c.address, db.name, err
	}
	if err = db.seed(ctx, documents(c.docs)); err != nil {
		err = errors.Join(err, c.remove(ctx, db.name))
	}
	return c.address, db.name, err
}

func (c *bridgeContender) holds(ctx context.Context, name string) (int, error) {
	return (&database{c.upstream, name}).count(ctx)
}

func (c *bridgeContender) remove(ctx context.Context, name string) error {
	return (&database{c.upstream, name}).remove(ctx)
}

// originalContender is the original server in a Node process.
type originalContender struct {
	*process
	url  string
	made int
}

func (b *bench) startOriginal(ctx context.Context) (*originalContender, error) {
	install, err := b.clients()
	if err != nil {
		return nil, err
	}
	documents, err := b.writeDocuments()
	if err != nil {
		return nil, err
	}
	task, err := json.Marshal(map[string]string{"install": install, "documents": documents})
	if err != nil {
		return nil, err
	}
	p, err := startProcess("the original server", isObject, nil, "node", filepath.Join(b.root, "test", "bench", "original.mjs"), string(task))
	if err != nil {
		return nil, err
	}
	var at struct{ URL string }
	if err := p.answer(ctx, startTime, &at); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return &originalContender{process: p, url: at.URL}, nil
}

func (c *originalContender) place(ctx context.Context, direction string) (string, string, error) {
	c.made++
	name := fmt.Sprintf("%s-%d", direction, c.made)
	if direction == "push" {
		return c.url, name, nil
	}
	var answer struct{ Count int }
	return c.url, name, c.ask(ctx, nodeTime, map[string]string{"seed": name}, &answer)
}

func (c *originalContender) holds(ctx context.Context, name string) (int, error) {
	var answer struct{ Count int }
	err := c.ask(ctx, nodeTime, map[string]string{"count": name}, &answer)
	return answer.Count, err
}

func (c *originalContender) remove(context.Context, string) error { return nil } // it ends with the process

// floorContender is the floor.
type floorContender struct {
	*floor
	docs int
}

func (c *floorContender) place(_ context.Context, direction string) (string, string, error) {
	name := fmt.Sprintf("%s-%d", direction, time.Now().UnixNano())
	if direction == "push" {
		return c.url, name, nil
	}
	return c.url, name, c.seed(name, documents(c.docs))
}

func (c *floorContender) holds(_ context.Context, name string) (int, error) {
	return c.count(name), nil
}
func (c *floorContender) remove(context.Context, string) error { return nil }
