package couch

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// changesOf makes rows of "id:rev" words, with sequences of their own.
func changesOf(seq, words string) (rows []Change) {
	for i, word := range strings.Fields(words) {
		id, rev, _ := strings.Cut(word, ":")
		rows = append(rows, Change{seq: fmt.Sprint(seq, i), id: id,
			Row: fmt.Appendf(nil, `{"seq":"%s%d","id":"%s","changes":[{"rev":"%s"}]}`, seq, i, id, rev)})
	}
	return rows
}

// timeAt is a moment for a sequence: later ones are later.
func timeAt(seq string) time.Time { return time.Unix(int64(seq[len(seq)-1]-'0'), 0) }

func TestRecent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, read, feed, want string }{
		{"nothing was read", "", "a:1 b:1", "a:1 b:1"},
		{"the same", "a:1 b:1", "a:1 b:1", ""},
		{"once", "a:1", "a:1 a:1", "a:1"},
		{"something newer", "a:1 b:1", "b:2 a:1", "b:2"},
		{"an older row, then the same", "a:2", "a:1 a:2", "a:1 a:2"},
		{"others between", "a:1 b:1", "c:1 b:1 d:1", "c:1 d:1"},
	} {
		var r recent
		r.remember(changesOf("x", tt.read))
		var got []string
		for _, c := range r.without(changesOf("y", tt.feed)) {
			revs, err := c.Revs()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, c.ID()+":"+revs[0])
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, text, tt.want)
		}
	}
}

func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	var words strings.Builder
	for i := range 10 * maxRecent {
		fmt.Fprintf(&words, "d%d:1 ", i)
	}
	var r recent
	r.remember(changesOf("x", words.String()))
	if n := len(r.without(changesOf("y", words.String()))); n != 9*maxRecent {
		t.Errorf("%d rows are left, want all but the last %d", n, maxRecent)
	}
}

func TestRing(t *testing.T) {
	t.Parallel()
	var r ring
	rows := changesOf("s", "a:1 b:1 c:1 d:1")
	size := ringRow{Change: rows[0]}.size()
	for _, c := range rows {
		r.put(c, timeAt(c.Seq()), 3*size)
	}
	if r.first != 1 || r.end() != 4 || r.bytes != 3*size {
		t.Errorf("the ring is from %d to %d with %d bytes", r.first, r.end(), r.bytes)
	}
	if _, kept := r.from(0, 1000); kept {
		t.Error("a row that is forgotten is there")
	}
	for _, tt := range []struct {
		pos   uint64
		limit int
		want  string
	}{{1, 1 << 20, "bcd"}, {2, 1 << 20, "cd"}, {1, 0, "b"}, {1, 2 * len(rows[0].Row), "bc"}, {4, 1 << 20, ""}} {
		got := ""
		found, kept := r.from(tt.pos, tt.limit)
		for _, c := range found {
			got += c.ID()
		}
		if got != tt.want || !kept {
			t.Errorf("from %d, %d bytes: %q, want %q", tt.pos, tt.limit, got, tt.want)
		}
	}
	if got := []uint64{r.since(timeAt("s0")), r.since(timeAt("s2")), r.since(timeAt("s9"))}; fmt.Sprint(got) != "[1 2 4]" {
		t.Errorf("positions by time: %v", got)
	}
	rows[3].Row[0] = 'X'
	if found, _ := r.from(3, 1000); found[0].Row[0] != '{' {
		t.Error("the ring does not own its rows")
	}
	r.trim(0)
	if r.first != 3 || r.end() != 4 {
		t.Errorf("trimmed to nothing, the ring is from %d to %d; the newest row stays", r.first, r.end())
	}
}
