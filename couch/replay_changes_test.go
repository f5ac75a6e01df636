package couch

import (
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func TestReplayChanges(t *testing.T) {
	t.Parallel()
	const seq4 = "4-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTGXOBAuzGSSmJBolJ2DTgMSaPBUgyNACp_1DTmMGmmSelGpiaYTUtCwBJKSjS"
	for _, test := range []struct {
		note, db, ids string
		o             ChangesOptions
		pending       int64
	}{
		{"changes normal all_docs", "rec", "b1 conf gone a 7feba05a8565529cee84a789aa000d85 deep", ChangesOptions{AllLeaves: true}, 0},
		{"changes limit 2", "rec", "b1 a", ChangesOptions{Limit: 2, AllLeaves: true}, 4},
		{"changes since", "rec", "conf gone", ChangesOptions{Limit: 2, Since: seq4}, 2},
		{"changes include_docs", "rec", "b1 a conf 7feba05a8565529cee84a789aa000d85 gone deep", ChangesOptions{IncludeDocs: true, AllLeaves: true, Conflicts: true}, 0},
		{"changes descending", "rec", "gone", ChangesOptions{Descending: true, Limit: 1}, 5},
		{"changes since now", "rec", "", ChangesOptions{Since: "now"}, 0},
		{"changes seq_interval", "rec", "b1 conf gone a 7feba05a8565529cee84a789aa000d85 deep", ChangesOptions{SeqInterval: 3}, 0},
		{"changes doc_ids", "rec", "conf", ChangesOptions{DocIDs: []string{"conf", "zz"}}, 5},
		{"changes selector", "rec", "deep", ChangesOptions{Selector: jsontext.Value(`{"v":{"$eq":5}}`)}, 0},
		{"changes attachments", "recatt", "d1", ChangesOptions{IncludeDocs: true, Attachments: true}, 0},
		{"ddoc filter", "recsec", "v6", ChangesOptions{Filter: "v/f", Query: url.Values{"k": {"a"}}}, 0},
		{"longpoll wakes", "recfeed", "l1", ChangesOptions{Feed: Longpoll}, 0},
		{"longpoll timeout", "recfeed", "", ChangesOptions{Feed: Longpoll, Since: "now", Timeout: 800 * time.Millisecond}, 0},
		{"continuous timeout ends", "recfeed", "l1 c1", ChangesOptions{Feed: Continuous, Timeout: 700 * time.Millisecond}, 0},
		{"continuous limit ends", "recfeed", "c1", ChangesOptions{Feed: Continuous, Limit: 1}, 1},
		{"continuous: db deleted", "recfeed", "", ChangesOptions{Feed: Continuous, Since: "now"}, 0},
	} {
		t.Run(test.note, func(t *testing.T) {
			t.Parallel()
			e := recorded(t, test.note)
			changes, err := mustDatabase(t, replay(t, e), test.db).Changes(t.Context(), test.o)
			if err != nil {
				t.Fatal(err)
			}
			defer changes.Close()
			ids, err := drainChanges(t, changes, e.text(t))
			if err != io.EOF || strings.Join(ids, " ") != test.ids || changes.Pending() != test.pending ||
				!strings.Contains(e.text(t), `"last_seq":"`+changes.LastSeq()+`"`) {
				t.Errorf("got %q, %v, pending %d", ids, err, changes.Pending())
			}
		})
	}
}

// TestReplayCutFeed has a recording that its recorder ended, not CouchDB: there is no last_seq.
func TestReplayCutFeed(t *testing.T) {
	t.Parallel()
	e := recorded(t, "continuous heartbeat and rows")
	changes, err := mustDatabase(t, replay(t, e), "recfeed").Changes(t.Context(), ChangesOptions{Feed: Continuous, AllLeaves: true})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Close()
	ids, err := drainChanges(t, changes, e.text(t))
	if strings.Join(ids, " ") != "l1 c1" || !Transient(err) || !errors.Is(err, errCut) {
		t.Errorf("got %q, %v", ids, err)
	}
}

func TestReplayChangesRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		note, db string
		o        ChangesOptions
	}{
		{"changes bad since", "rec", ChangesOptions{Since: "garbage"}},
		{"changes missing filter", "rec", ChangesOptions{Filter: "nope/nope"}},
		{"changes missing db", "recnone", ChangesOptions{}},
	} {
		e := recorded(t, test.note)
		_, err := mustDatabase(t, replay(t, e), test.db).Changes(t.Context(), test.o)
		checkError(t, e, err)
		if IsDatabaseMissing(err) != (test.note == "changes missing db") {
			t.Errorf("%s: IsDatabaseMissing of %v", test.note, err)
		}
	}
}

// drainChanges reads to the end and checks that every row is a piece of the answer, with its own sequence.
func drainChanges(t *testing.T, changes *Changes, answer string) (ids []string, err error) {
	t.Helper()
	for {
		row, err := changes.Next()
		if err != nil {
			return ids, err
		}
		seq := `"seq":"` + row.Seq() + `"`
		if row.Seq() == "" {
			seq = `"seq":null`
		}
		if !strings.Contains(answer, string(row.Row)) || !strings.Contains(string(row.Row), seq) {
			t.Errorf("%s, sequence %q", row.Row, row.Seq())
		}
		if revs, err := row.Revs(); err != nil || len(revs) == 0 {
			t.Errorf("%s: %q, %v", row.Row, revs, err)
		}
		deleted, err := row.Deleted()
		if err != nil || deleted != strings.Contains(string(row.Row), `"deleted":true`) {
			t.Errorf("%s: deleted %v, %v", row.Row, deleted, err)
		}
		ids = append(ids, row.ID())
	}
}
