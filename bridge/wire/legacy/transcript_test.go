package legacy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pouchbridge/bridge/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// message is a line of a transcript: one websocket message.
type message struct {
	Dir   string `json:"dir"`
	Conn  int    `json:"conn"`
	Frame string `json:"frame"`
	Data  string `json:"data"`
}

// TestTranscripts gives everything that real clients were seen to send to a
// Conn, and compares what it understands with a golden file.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/transcripts/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			got := understood(t, file)
			golden := strings.TrimSuffix(file, ".jsonl") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("events differ (-want +got):\n%s", diff)
			}
		})
	}
}

// understood plays the client's side of a transcript and grants or denies as
// the recorded server did.
func understood(t *testing.T, file string) string {
	p := player{t: t, conns: map[int]*played{}}
	for _, m := range transcript(t, file) {
		p.play(m)
	}
	if p.calls == 0 && !strings.Contains(file, "denied") {
		t.Errorf("%s: no calls in it", file)
	}
	return p.out.String()
}

func transcript(t *testing.T, file string) []message {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []message
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var m message
		if err := json.Unmarshal(scanner.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		if m.Frame != "" {
			out = append(out, m)
		}
	}
	return out
}

type player struct {
	t     *testing.T
	conns map[int]*played
	out   strings.Builder
	calls int
}

// played is one connection of a transcript.
type played struct {
	conn    *Conn
	waiting []*Session        // asked for, not answered
	granted []*Session        // granted, channel not seen in the transcript
	ids     *strings.Replacer // recorded channel id to ours
	pairs   []string
}

func (p *player) play(m message) {
	c := p.conns[m.Conn]
	if c == nil {
		c = &played{conn: NewConn(1 << 20), ids: strings.NewReplacer()}
		p.conns[m.Conn] = c
	}
	if m.Dir == "s>c" {
		c.server(m.Data)
		return
	}
	events, err := c.conn.Receive([]byte(c.ids.Replace(m.Data)))
	if err != nil {
		p.t.Errorf("Receive(%.200q): %v", m.Data, err)
	}
	for _, e := range events {
		p.event(m.Conn, c, e)
	}
}

// server does what the recorded server said: deny, or open a channel.
func (c *played) server(data string) {
	for line := range strings.Lines(data) {
		var parts []json.RawMessage
		if json.Unmarshal([]byte(line), &parts) != nil || len(parts) < 3 {
			continue
		}
		switch {
		case string(parts[1]) == `"new"`:
			id, _ := c.granted[0].channel()
			c.granted = c.granted[1:]
			c.pairs = append(c.pairs, strings.Trim(string(parts[0]), `"`), id)
			c.ids = strings.NewReplacer(c.pairs...)
		case len(c.waiting) == 0:
		case strings.HasPrefix(string(parts[2]), `[null,"`):
			s := c.waiting[0]
			c.waiting = c.waiting[1:]
			c.granted = append(c.granted, s)
			s.Granted(nil)
		case strings.HasPrefix(string(parts[2]), `[{"message"`):
			c.waiting[0].Denied(nil, "denied")
			c.waiting = c.waiting[1:]
		}
	}
}

func (p *player) event(conn int, c *played, e wire.Event) {
	fmt.Fprintf(&p.out, "%d ", conn)
	switch e := e.(type) {
	case wire.Open:
		c.waiting = append(c.waiting, e.Session.(*Session))
		fmt.Fprintf(&p.out, "open %s credentials %s\n", e.Database, string(e.Credentials))
	case wire.Call:
		p.calls++
		fmt.Fprintf(&p.out, "call %d %s\n", e.Tag.Call, describe(e))
	case wire.Close:
		fmt.Fprintln(&p.out, "close")
	case wire.Reply:
		p.t.Errorf("answered by itself: %s", e.Data)
	default:
		fmt.Fprintf(&p.out, "%#v\n", e)
	}
}

func describe(c wire.Call) string {
	switch op := c.Op.(type) {
	case wire.BulkDocs:
		var b strings.Builder
		fmt.Fprintf(&b, "BulkDocs keep=%t", op.KeepAttachments)
		for _, d := range op.Docs {
			fmt.Fprintf(&b, "\n\t%s %s deleted=%t ancestors=%v refused=%v %s", d.ID, d.Rev, d.Deleted, d.Ancestors, d.Refused, d.Raw)
		}
		return b.String()
	case wire.PutLocal:
		return fmt.Sprintf("PutLocal %s mend=%t %s", op.ID, op.Mend != nil, op.Doc)
	case wire.Changes:
		return fmt.Sprintf("Changes feed=%d %+v", c.Tag.Feed, op)
	default:
		return fmt.Sprintf("%T %+v", op, op)
	}
}
