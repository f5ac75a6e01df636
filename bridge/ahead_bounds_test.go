package bridge_test

import (
	"fmt"
	"strings"
	"testing"

	"pouchbridge/auth"
	"pouchbridge/bridge"
)

// TestAheadIsBounded pulls documents that are more than may be held.
func TestAheadIsBounded(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		most     int64
		doc      int
		wantHeld bool
	}{
		{"of a session", 1 << 30, 100 << 10, true},
		{"of the server", 50 << 10, 10 << 10, true},
		{"none", 0, 100, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{})
			f.server.LimitAhead(tt.most)
			fill(t, u, 0, 40, tt.doc)
			ch := dial(t, f.http).open("x")
			rows := ch.read("0", 20)
			most := int64(0)
			if tt.wantHeld {
				eventually(t, "documents are held", func() bool { most = max(most, f.server.HeldAhead()); return most > 0 })
			}
			next := ch.read(rows[19].seq, 20)
			for _, rows := range [][]shown{rows, next} {
				for i, r := range ch.burst(wants(rows, true)) {
					if most = max(most, f.server.HeldAhead()); len(r.result) < tt.doc || !strings.Contains(r.result, rows[i].id) {
						t.Errorf("%s: %.100v", rows[i].id, r)
					}
				}
			}
			if bound := min(tt.most, 2*bridge.AheadBytes); most > bound {
				t.Errorf("%d bytes were held, %d are allowed", most, bound)
			}
			_ = ch.ws.CloseNow()
			eventually(t, "nothing is held", func() bool { return f.server.HeldAhead() == 0 })
		})
	}
}

// TestRevokedWithDocumentsAhead wants nothing of what was fetched for a grant
// that is over.
func TestRevokedWithDocumentsAhead(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{Subject: "alice"}), bridge.Options{})
	fill(t, u, 0, 20, 100)
	ch := dial(t, f.http).open("x")
	rows := ch.read("0", 10)
	eventually(t, "documents are held", func() bool { return f.server.HeldAhead() > 0 })
	f.server.Revoke(bridge.Revocation{Subject: "alice"})
	if n := f.server.HeldAhead(); n != 0 {
		t.Errorf("%d bytes are held for a grant that is over", n)
	}
	if r := ch.burst(wants(rows, false))[0]; r != (reply{revoked, "null"}) {
		t.Errorf("got %v", r)
	}
}

// TestFilterWithDocumentsAhead asks for documents that a filter hides, after a
// page has been shown.
func TestFilterWithDocumentsAhead(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{Filter: auth.Filter{Selector: []byte(`{"owner":"me"}`)}}), bridge.Options{})
	var docs []string
	for i := range 20 {
		docs = append(docs, fmt.Sprintf(`{"_id":"d%d","_rev":"1-a","owner":%q}`, i, []string{"me", "you"}[i%2]))
	}
	if _, err := u.db.BulkDocs(t.Context(), values(docs...), false); err != nil {
		t.Fatal(err)
	}
	ch := dial(t, f.http).open("x")
	rows := ch.read("0", 5) // five of ten, and the next five read ahead
	all := []shown{}
	for i := range 20 {
		all = append(all, shown{id: fmt.Sprintf("d%d", i), revs: []string{"1-a"}})
	}
	for _, calls := range [][]asked{wants(all, false), wants(all, true)} {
		var text strings.Builder
		for _, r := range ch.burst(calls) {
			text.WriteString(r.result)
		}
		if got := text.String(); strings.Contains(got, "you") || strings.Count(got, `"owner":"me"`) != len(rows) {
			t.Errorf("after %d rows: %s", len(rows), got)
		}
	}
}
