package legacy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pouchbridge/bridge/wire"
)

// opened returns a connection with one granted session, and its channel's id.
func opened(t testing.TB) (*Conn, *Session, string) {
	t.Helper()
	c := NewConn(1 << 20)
	events, err := c.Receive([]byte(`["r","new",{"opts":{"writable":true,"readable":true}}]` + "\n" + `["r","data",{"database":"todos"}]` + "\n"))
	if err != nil || len(events) != 1 {
		t.Fatalf("opening: %v, %v", events, err)
	}
	s := events[0].(wire.Open).Session.(*Session)
	s.Granted(nil)
	id, ok := s.channel()
	if !ok {
		t.Fatal("no channel after Granted")
	}
	return c, s, id
}

// said renders events so that a table can hold them, with CH for the channel.
func said(events []wire.Event, channel string) []string {
	var out []string
	for _, e := range events {
		switch e := e.(type) {
		case wire.Reply:
			out = append(out, strings.ReplaceAll(string(e.Data), channel, "CH"))
		case wire.Call:
			out = append(out, fmt.Sprintf("call %d %T%+v", e.Tag.Call, e.Op, e.Op))
		case wire.Open:
			out = append(out, fmt.Sprintf("open %q %s", e.Database, string(e.Credentials)))
		case wire.Flow:
			out = append(out, fmt.Sprintf("flow paused=%t", e.Paused))
		case wire.Close:
			out = append(out, "close")
		}
	}
	return out
}

func TestReceiveOnChannel(t *testing.T) {
	t.Parallel()
	badRequest := func(seq int, message string) string {
		return fmt.Sprintf(`["CH","data",[%d,[{"message":%q,"status":400,"name":"bad_request","error":true},null]]]`+"\n", seq, message)
	}
	notArray := `["CH","data",[-1,[{"message":"require an array"}]]]` + "\n" + `["CH","end"]` + "\n" + `["CH","close"]` + "\n"
	noMethod := func(name string) string {
		return `["CH","data",[7,[{"message":"No method named ` + name + `","name":"Error","error":true},null]]]` + "\n"
	}
	tests := []struct {
		name, data string
		want       string
	}{
		{"id", `[0,null,"_id",[]]`, "call 0 wire.GetID{}"},
		{"without args", `[0,null,"_id"]`, "call 0 wire.GetID{}"},
		{"info", `[1,"x","_info",[]]`, "call 1 wire.GetInfo{}"},
		{"checkpoint", `[2,null,"get",["_local/a.b_=="]]`, "call 2 wire.GetLocal{ID:a.b_==}"},
		{"open_revs", `[3,null,"get",["d",{"open_revs":["1-a","2-b"],"revs":true,"latest":true}]]`,
			"call 3 wire.OpenRevs{ID:d Revs:[1-a 2-b] Latest:true Attachments:false}"},
		{"open_revs all", `[3,null,"get",["d",{"open_revs":"all","attachments":true}]]`,
			"call 3 wire.OpenRevs{ID:d Revs:[] Latest:false Attachments:true}"},
		{"get of a document", `[3,null,"get",["d"]]`, badRequest(3, "get: only local documents and open_revs can be read")},
		{"revision tree", `[4,null,"_getRevisionTree",["ü/\u0041"]]`, "call 4 wire.GetRevisions{ID:ü/A}"},
		{"revision tree of a number", `[4,null,"_getRevisionTree",[1]]`, badRequest(4, "argument 0 is not a string")},
		{"allDocs", `[5,null,"allDocs",[{"keys":["a","b"],"include_docs":true,"conflicts":true}]]`,
			"call 5 wire.AllDocs{Keys:[a b] IncludeDocs:true}"},
		{"allDocs of everything", `[5,null,"allDocs",[{}]]`, badRequest(5, "allDocs: keys, an array of strings, is wanted")},
		{"changes", `[6,null,"_changes",[3,{"since":0,"limit":100,"style":"all_docs","return_docs":true}]]`,
			"call 6 wire.Changes{Since:0 Limit:100 Live:false}"},
		{"changes live", `[6,null,"_changes",[3,{"since":"5-x\"","live":true,"continuous":true,"limit":false}]]`,
			`call 6 wire.Changes{Since:5-x" Limit:0 Live:true}`},
		{"changes without since", `[6,null,"_changes",[3,{"since":null}]]`, "call 6 wire.Changes{Since: Limit:0 Live:false}"},
		{"changes since an array", `[6,null,"_changes",[3,{"since":[1,"x"]}]]`, `call 6 wire.Changes{Since:[1,"x"] Limit:0 Live:false}`},
		{"changes with a filter", `[6,null,"_changes",[3,{"filter":"function(){}"}]]`,
			`["CH","data",[6,[{"message":"filter cannot be used through the bridge","status":403,"name":"forbidden","error":true},null]]]` + "\n"},
		{"changes with a bad limit", `[6,null,"_changes",[3,{"limit":-1}]]`, badRequest(6, "limit is not a whole number")},
		{"changes without a listener", `[6,null,"_changes",[]]`, badRequest(6, "_changes: the listener is not a number")},
		{"destroy", `[7,null,"destroy",[]]`,
			`["CH","data",[7,[{"message":"a database cannot be destroyed through the bridge","status":403,"name":"forbidden","error":true},null]]]` + "\n"},
		{"unknown method", `[7,null,"compact",[]]`, noMethod("compact")},
		{"replicate to elsewhere", `[7,null,"sync",["http://192.0.2.1/"]]`, noMethod("sync")},
		{"inherited method", `[7,null,"constructor",[]]`, noMethod("constructor")},
		{"new edits", `[8,null,"_bulkDocs",[{"docs":[{"_id":"a"}]},{"new_edits":true}]]`, badRequest(8, "_bulkDocs: only new_edits=false can be written")},
		{"local among others", `[8,null,"_bulkDocs",[{"docs":[{"_id":"a"},{"_id":"_local/x"}],"new_edits":false}]]`,
			badRequest(8, "_bulkDocs: a local document is written alone")},
		{"a document twice named", `[8,null,"_bulkDocs",[{"docs":[{"_id":"a","_id":"_design/a"}],"new_edits":false}]]`,
			badRequest(8, `_bulkDocs: document 0: member "_id" stands twice`)},
		{"docs is no array", `[8,null,"_bulkDocs",[{"docs":{},"new_edits":false}]]`, badRequest(8, "_bulkDocs: docs is not an array")},
		{"a document is no object", `[8,null,"_bulkDocs",[{"docs":[1],"new_edits":false}]]`, badRequest(8, "_bulkDocs: document 0: not a JSON object")},
		{"no array", `{"a":1}`, notArray},
		{"null", `null`, notArray},
		{"no number", `["x",null,"_id",[]]`, notArray},
		{"empty", `[]`, notArray},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, _, id := opened(t)
			events, err := c.Receive([]byte(`["` + id + `","data",` + tt.data + "]\n"))
			if err != nil {
				t.Fatal(err)
			}
			got := said(events, id)
			if diff := cmp.Diff([]string{tt.want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReceiveRequests(t *testing.T) {
	t.Parallel()
	denied := func(message string) string {
		return `["r","data",[{"message":"` + message + `"}]]` + "\n" + `["r","end"]` + "\n" + `["r","close"]` + "\n"
	}
	tests := []struct {
		name, lines string
		want        []string
	}{
		{"granted later", `["r","new"]` + "\n" + `["r","data",{"database":"a","credentials":{"token":1.0}}]` + "\n", []string{`open "a" {"token":1.0}`}},
		{"no credentials", `["r","new",{}]` + "\n" + `["r","data",{"database":"a"}]` + "\n", []string{`open "a" `}},
		{"credentials null", `["r","new",{}]` + "\n" + `["r","data",{"database":"a","credentials":null}]` + "\n", []string{`open "a" null`}},
		{"only the first counts", `["r","new"]` + "\n" + `["r","data",{"database":"a"}]` + "\n" + `["r","data",{"database":"b"}]` + "\n", []string{`open "a" `}},
		{"null", `["r","new"]` + "\n" + `["r","data",null]` + "\n", []string{denied("the request for a database is not an object")}},
		{"no payload", `["r","new"]` + "\n" + `["r","data"]` + "\n", []string{denied("the request for a database is not an object")}},
		{"no name", `["r","new"]` + "\n" + `["r","data",{"database":null}]` + "\n",
			[]string{denied("the request names no database; with PouchDB 6 and later, sync needs the option remoteName")}},
		{"closed before the answer", `["r","new"]` + "\n" + `["r","data",{"database":"a"}]` + "\n" + `["r","close"]` + "\n",
			[]string{`open "a" `, `["r","close"]` + "\n", "close"}},
		{"unknown stream", `["x","data",{"database":"a"}]` + "\n" + `["x","close"]` + "\n" + `["x","pause"]` + "\n", nil},
		{"error takes the stream away", `["r","new"]` + "\n" + `["r","error",null]` + "\n", []string{`["r","close"]` + "\n", "close"}},
		{"not an event", `{"a":1}` + "\n" + `[1,2]` + "\n" + `[]` + "\n" + `"x"` + "\n" + `["x",{}]` + "\n" + `["x"]` + "\n", nil},
		{"unknown event", `["r","new"]` + "\n" + `["r","shout",1]` + "\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			events, err := NewConn(1000).Receive([]byte(tt.lines))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, said(events, "-")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReceiveEndsConnection(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, msg string
		want      error
	}{
		{"text", "hello\n", ErrNotJSON},
		{"empty line", "\n", ErrNotJSON},
		{"cut short", `["r","data",{"a":` + "\n", ErrNotJSON},
		{"two values", "[] []\n", ErrNotJSON},
		{"long line", strings.Repeat("x", 101), ErrTooLong},
		{"many streams", manyStreams(), ErrTooManyStreams},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := NewConn(100).Receive([]byte(tt.msg)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func manyStreams() string {
	var b strings.Builder
	for i := range maxStreams + 1 {
		fmt.Fprintf(&b, "[\"%d\",\"new\"]\n", i)
	}
	return b.String()
}

func TestChannelEnds(t *testing.T) {
	t.Parallel()
	for event, want := range map[string][]string{
		"close": {`["CH","close"]` + "\n", "close"},
		"error": {`["CH","close"]` + "\n", "close"},
		"end":   {`["CH","end"]` + "\n" + `["CH","close"]` + "\n", "close"},
	} {
		t.Run(event, func(t *testing.T) {
			t.Parallel()
			c, s, id := opened(t)
			line := []byte(`["` + id + `","` + event + `"]` + "\n")
			events, err := c.Receive(line)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, said(events, id)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if again, _ := c.Receive(line); len(again) != 0 {
				t.Errorf("a second %s is answered: %v", event, said(again, id))
			}
			if got := s.Result(nil, wire.Tag{}, wire.ID("x")); len(got) != 0 {
				t.Errorf("an ended session still says %s", got)
			}
			if len(c.streams) != 0 {
				t.Errorf("%d streams are kept", len(c.streams))
			}
		})
	}
}

func TestFlow(t *testing.T) {
	t.Parallel()
	c, _, id := opened(t)
	events, err := c.Receive([]byte(`["` + id + `","pause"]` + "\n" + `["` + id + `","resume"]` + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"flow paused=true", "flow paused=false"}, said(events, id)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzReceive cuts the same bytes at another place and wants the same events.
func FuzzReceive(f *testing.F) {
	f.Add([]byte(`["r","new",{"opts":{}}]`+"\n"+`["r","data",{"database":"ü","credentials":{}}]`+"\n"), 30)
	f.Add([]byte(`["r","new"]`+"\n"+`["r","close"]`+"\n{\n"), 12)
	f.Add([]byte("[]\n\n[\"r\",\"new\"]\n"), 2)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		whole, wholeErr := NewConn(1 << 16).Receive(bytes.Clone(data))
		cut = max(0, min(cut, len(data)))
		c := NewConn(1 << 16)
		parts, err := c.Receive(bytes.Clone(data[:cut]))
		if err == nil {
			var rest []wire.Event
			rest, err = c.Receive(bytes.Clone(data[cut:]))
			parts = append(parts, rest...)
		}
		if diff := cmp.Diff(said(whole, "-"), said(parts, "-")); diff != "" {
			t.Errorf("cut at %d (-whole +parts):\n%s", cut, diff)
		}
		if (wholeErr == nil) != (err == nil) {
			t.Errorf("cut at %d: %v and %v", cut, wholeErr, err)
		}
	})
}

// FuzzCall wants exactly one event for whatever JSON comes on a channel: a call,
// or an answer.
func FuzzCall(f *testing.F) {
	for _, seed := range []string{
		`[0,null,"_id",[]]`, `[1,"x","get",["a",{"open_revs":["1-a"],"latest":true}]]`,
		`[2,null,"_bulkDocs",[{"docs":[{"_id":"a","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"_attachments":{"f":{"data":{"type":"Buffer","data":[1,255]}}}}],"new_edits":false},{}]]`,
		`[3,null,"_bulkDocs",[{"docs":[{"_id":"_local/x","history":[{"session_id":"s"}]}]}]]`,
		`[4,null,"_changes",[1,{"since":"1-x","limit":100,"live":true}]]`, `[5,null,"allDocs",[{"keys":["a"]}]]`, `{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, _, id := opened(t)
		events, err := c.Receive([]byte(`["` + id + `","data",` + strings.ReplaceAll(string(payload), "\n", " ") + "]\n"))
		if err != nil {
			if !errors.Is(err, ErrNotJSON) && !errors.Is(err, ErrTooLong) {
				t.Fatal(err)
			}
			return
		}
		if len(events) != 1 {
			t.Fatalf("%d events", len(events))
		}
		if reply, ok := events[0].(wire.Reply); ok && (len(reply.Data) == 0 || reply.Data[len(reply.Data)-1] != '\n') {
			t.Fatalf("not whole lines: %q", reply.Data)
		}
	})
}
