package couch

import (
	"bytes"
	"hash/maphash"
	"slices"
)

// recent remembers the last rows that a reader has read for itself. What is written while it does comes by the feed as well, and
// there it is left out if it says the same: to a client every row is work, though a row twice does no harm.
type recent struct{ rows []recentRow }

// recentRow are hashes of the document's id and of what the row says but for its sequence.
type recentRow struct{ id, says uint64 }

// maxRecent is how many rows are remembered. Those that are on their way in the feed are the latest.
const maxRecent = 32

var recentSeed = maphash.MakeSeed()

func newRecentRow(c Change) (r recentRow, ok bool) {
	i := bytes.Index(c.Row, []byte(`"id":`))
	if i < 0 {
		return r, false
	}
	return recentRow{maphash.String(recentSeed, c.ID()), maphash.Bytes(recentSeed, c.Row[i:])}, true
}

// remember replaces what is remembered by the last of rows.
func (r *recent) remember(rows []Change) {
	r.rows = nil
	for _, c := range rows[max(0, len(rows)-maxRecent):] {
		if row, ok := newRecentRow(c); ok {
			r.rows = append(r.rows, row)
		}
	}
}

// without returns the rows of the feed that say something else than what was read. A document is forgotten with its first row:
// should that be an older one, the newer one has to come after it again.
func (r *recent) without(rows []Change) []Change {
	if len(r.rows) == 0 {
		return rows
	}
	return slices.DeleteFunc(rows, func(c Change) bool {
		row, ok := newRecentRow(c)
		i := slices.IndexFunc(r.rows, func(known recentRow) bool { return known.id == row.id })
		if !ok || i < 0 {
			return false
		}
		same := r.rows[i] == row
		r.rows = slices.Delete(r.rows, i, i+1)
		return same
	})
}
