package couch

import (
	"bytes"
	"slices"
	"time"
)

// ring keeps the latest rows of a feed, bounded by their bytes. Rows have positions, which count from the feed's first.
type ring struct {
	rows  []ringRow
	first uint64 // position of rows[0]
	bytes int
}

type ringRow struct {
	Change           // its bytes are the ring's own, and never change
	at     time.Time // when it came
}

// rowOverhead is about what a row costs besides its text.
const rowOverhead = 128

func (r ringRow) size() int { return len(r.Row) + rowOverhead }

// end is the position after the last row.
func (r *ring) end() uint64 { return r.first + uint64(len(r.rows)) }

// put appends a copy of a row and forgets the oldest ones that do not fit into limit bytes. The newest one always stays.
func (r *ring) put(c Change, now time.Time, limit int) {
	c.Row = bytes.Clone(c.Row)
	row := ringRow{c, now}
	r.rows = append(r.rows, row)
	r.bytes += row.size()
	r.trim(limit)
}

// trim forgets the oldest rows over limit bytes, but for the newest.
func (r *ring) trim(limit int) {
	n := 0
	for r.bytes > limit && n < len(r.rows)-1 {
		r.bytes -= r.rows[n].size()
		n++
	}
	clear(r.rows[:n])
	r.rows = r.rows[n:]
	r.first += uint64(n)
	if cap(r.rows) > 4*(len(r.rows)+16) {
		r.rows = slices.Clone(r.rows) // a burst is over
	}
}

// from returns the rows at pos and after, as many as fit into limit bytes and at least one if there is one. It reports false
// if the row at pos is forgotten.
func (r *ring) from(pos uint64, limit int) ([]Change, bool) {
	if pos < r.first {
		return nil, false
	}
	rows := r.rows[pos-r.first:]
	n, size := 0, 0
	for n < len(rows) && (n == 0 || size+len(rows[n].Row) <= limit) {
		size += len(rows[n].Row)
		n++
	}
	if n == 0 {
		return nil, true
	}
	out := make([]Change, n)
	for i := range out {
		out[i] = rows[i].Change
	}
	return out, true
}

// since is the position of the first row that came at t or later, of those that are kept.
func (r *ring) since(t time.Time) uint64 {
	i, _ := slices.BinarySearchFunc(r.rows, t, func(row ringRow, t time.Time) int { return row.at.Compare(t) })
	return r.first + uint64(i)
}
