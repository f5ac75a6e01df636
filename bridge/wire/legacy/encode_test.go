package legacy

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"pouchbridge/bridge/wire"
)

// TestEncode holds the lines of the original server, as recorded, where it has
// them.
func TestEncode(t *testing.T) {
	t.Parallel()
	tag := wire.Tag{Call: 3, Feed: 1}
	result := func(r wire.Result) func(*Session) []byte {
		return func(s *Session) []byte { return s.Result(nil, tag, r) }
	}
	tests := []struct {
		name string
		say  func(*Session) []byte
		want string
	}{
		{"id", result(wire.ID("C1F6\"FC95")), `["CH","data",[3,[null,"C1F6\"FC95"]]]`},
		{"info", result(wire.Info{DocCount: 5, UpdateSeq: "7-x"}), `["CH","data",[3,[null,{"doc_count":5,"update_seq":"7-x"}]]]`},
		{"checkpoint over lines", result(wire.JSON("{\n\"a\":\n1}")), `["CH","data",[3,[null,{ "a": 1}]]]`},
		{"checkpoint written", result(wire.LocalWritten{ID: "N1==", Rev: "0-1"}), `["CH","data",[3,[null,[{"ok":true,"id":"_local/N1==","rev":"0-1"}]]]]`},
		{"feed accepted", result(wire.Accepted{}), `["CH","data",[3,[null,null]]]`},
		{"tree", result(wire.Revisions{{Start: 1, IDs: []string{"aaa"}}, {Start: 3, IDs: []string{"c", "b"}, Deleted: true}}),
			`["CH","data",[3,[null,[{"pos":1,"ids":["aaa",{"status":"available"},[]]},` +
				`{"pos":2,"ids":["b",{"status":"available"},[["c",{"status":"available","deleted":true},[]]]]}]]]]`},
		{"open_revs", result(wire.OpenRevsResult{Revs: []wire.OpenRev{
			{Doc: jsontext.Value(`{"_id":"a","n":1.0,"_attachments":{"f":{"stub":true}},"m":[]}`)}, {Missing: "9-x"}}}),
			`["CH","data",[3,[null,[{"ok":{"_id":"a","n":1.0,"m":[]}},{"missing":"9-x"}]]]]`},
		{"open_revs with attachments", result(wire.OpenRevsResult{Attachments: true, Revs: []wire.OpenRev{
			{Doc: jsontext.Value(`{"_id":"a","_attachments":{"f":{"data":""}}}`)}}}),
			`["CH","data",[3,[null,[{"ok":{"_id":"a","_attachments":{"f":{"data":""}}}}]]]]`},
		{"all docs", result(wire.AllDocsResult{TotalRows: 9, Rows: []wire.DocRow{
			{Row: jsontext.Value(`{"key":"z","error":"not_found"}`)}, {Row: jsontext.Value(`{"id":"c","doc":{}}`), ID: "c", Rev: "2-x", Conflict: true}}}),
			`["CH","data",[3,[null,{"offset":0,"total_rows":9,"rows":[{"key":"z","error":"not_found"},{"id":"c","key":"c","value":{"rev":"2-x"},"doc":null}]}]]]`},
		{"all docs of nothing", result(wire.AllDocsResult{TotalRows: -1}), `["CH","data",[3,[null,{"offset":0,"total_rows":0,"rows":[]}]]]`},
		{"all written", result(wire.BulkDocsResult{}), `["CH","data",[3,[null,[]]]]`},
		{"one refused", result(wire.BulkDocsResult{{ID: "c2", Rev: "1-a", Err: wire.Error{Status: 403, Name: "forbidden", Reason: "no way"}}}),
			`["CH","data",[3,[null,[{"id":"c2","rev":"1-a","error":true,"status":403,"name":"forbidden","message":"no way","reason":"no way"}]]]]`},
		{"one too large", result(wire.BulkDocsResult{{ID: "c2", Rev: "1-a", Err: wire.Error{Status: 413, Name: "document_too_large", Reason: "c2"}}}),
			`["CH","data",[3,[null,[{"id":"c2","rev":"1-a","error":true,"status":413,"name":"forbidden","message":"document_too_large: c2","reason":"document_too_large: c2"}]]]]`},
		{"change", func(s *Session) []byte { return s.Change(nil, tag, jsontext.Value(`{"seq":"1-x","id":"a"}`)) },
			`["CH","data",["_event","change",[1,{"seq":"1-x","id":"a"}]]]`},
		{"complete", func(s *Session) []byte { return s.Complete(nil, tag, "1-x") },
			`["CH","data",["_event","complete",[1,{"results":[],"last_seq":"1-x"}]]]`},
		{"pause", func(s *Session) []byte { return s.Pause(nil) }, `["CH","pause"]`},
		{"resume", func(s *Session) []byte { return s.Resume(nil) }, `["CH","resume"]`},
		{"end", func(s *Session) []byte { return s.End(nil) }, `["CH","end"]` + "\n" + `["CH","close"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, s, id := opened(t)
			got := strings.ReplaceAll(string(tt.say(s)), id, "CH")
			if diff := cmp.Diff(tt.want+"\n", got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			s.end()
			if got := tt.say(s); len(got) != 0 {
				t.Errorf("an ended session still says %s", got)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	_, s, id := opened(t)
	tag := wire.Tag{Call: 2, Feed: 4}
	missing := &wire.Error{Status: 404, Name: "not_found", Reason: "missing"}
	away := &wire.Error{Status: 502, Name: "unavailable", Reason: "x", Transient: true}
	for name, say := range map[string]func([]byte, wire.Tag, *wire.Error) ([]byte, bool){"Failed": s.Failed, "FeedFailed": s.FeedFailed} {
		if got, ok := say(nil, tag, away); ok || got != nil {
			t.Errorf("%s says what would end the client's sync for good: %s", name, got)
		}
	}
	got, ok := s.Failed(nil, tag, missing)
	want := `["` + id + `","data",[2,[{"message":"missing","status":404,"name":"not_found","error":true},null]]]` + "\n"
	if !ok || string(got) != want {
		t.Errorf("got %t %s, want %s", ok, got, want)
	}
	got, ok = s.FeedFailed(nil, tag, missing)
	want = `["` + id + `","data",["_event","error",[4,{"message":"missing","status":404,"name":"not_found","error":true}]]]` + "\n"
	if !ok || string(got) != want {
		t.Errorf("got %t %s, want %s", ok, got, want)
	}
}

func TestGrantedAndDenied(t *testing.T) {
	t.Parallel()
	request := func() (*Conn, *Session) {
		c := NewConn(1000)
		events, err := c.Receive([]byte(`["r","new"]` + "\n" + `["r","data",{"database":"a"}]` + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		return c, events[0].(wire.Open).Session.(*Session)
	}
	c, s := request()
	lines := strings.Split(strings.TrimSpace(string(s.Granted(nil))), "\n")
	var name string
	for i, prefix := range []string{`["r","data",[null,"`, `["r","end"]`, `["r","close"]`, `["`} {
		if !strings.HasPrefix(lines[i], prefix) {
			t.Fatalf("line %d is %s", i, lines[i])
		}
	}
	name = strings.TrimSuffix(strings.TrimPrefix(lines[0], `["r","data",[null,"`), `"]]`)
	if !strings.HasSuffix(lines[3], `,"new",{"meta":"`+name+`","opts":{"writable":true,"readable":true}}]`) {
		t.Errorf("the channel is not called %s: %s", name, lines[3])
	}
	if again := s.Granted(nil); again != nil {
		t.Errorf("granted twice: %s", again)
	}
	if denied := s.Denied(nil, "no"); denied != nil {
		t.Errorf("denied after granted: %s", denied)
	}
	if len(c.streams) != 1 {
		t.Errorf("%d streams, want the channel alone", len(c.streams))
	}

	c, s = request()
	want := `["r","data",[{"message":"go \"away\""}]]` + "\n" + `["r","end"]` + "\n" + `["r","close"]` + "\n"
	if got := string(s.Denied(nil, `go "away"`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := s.Granted(nil); got != nil || len(c.streams) != 0 {
		t.Errorf("granted after denied: %s, %d streams", got, len(c.streams))
	}
}
