package legacy

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
)

// putCheckpoint writes a checkpoint. PouchDB 5.4 and later write one without
// last_seq after an idle reconnect, and would scan the whole database again
// after the next; such a one is mended from the stored one.
func putCheckpoint(doc wire.Doc) wire.Op {
	op := wire.PutLocal{ID: strings.TrimPrefix(doc.ID, localPrefix), Doc: doc.Raw}
	if c, err := readCheckpoint(doc.Raw); err == nil && c.replication && c.lastSeq == nil {
		op.Mend = func(stored jsontext.Value) (jsontext.Value, error) { return mendCheckpoint(doc.Raw, stored) }
	}
	return op
}

// checkpoint is what matters of a checkpoint document.
type checkpoint struct {
	replication bool             // it has a history, so it is one
	lastSeq     jsontext.Value   // nil: absent
	history     []jsontext.Value // entries that have a last_seq
}

func readCheckpoint(doc jsontext.Value) (checkpoint, error) {
	var c checkpoint
	err := wire.Members(doc, func(m wire.Member) (err error) {
		switch string(m.Name) {
		case "last_seq":
			c.lastSeq = m.Value
		case "history":
			c.replication = true
			c.history, err = readHistory(m.Value)
		}
		return err
	})
	return c, err
}

// readHistory returns the entries of a checkpoint's history that say how far
// their session came.
func readHistory(v jsontext.Value) ([]jsontext.Value, error) {
	var kept []jsontext.Value
	for _, entry := range wire.Items(v) {
		has := false
		err := wire.Members(entry, func(m wire.Member) error {
			has = has || string(m.Name) == "last_seq"
			return nil
		})
		if err != nil {
			return nil, err
		}
		if has {
			kept = append(kept, entry)
		}
	}
	return kept, nil
}

// mendCheckpoint is doc with the last_seq of stored and with only those entries
// of its history that have one. The session_id stays the new one: both sides
// must agree on it. If stored has no last_seq either, doc is returned as it is.
func mendCheckpoint(doc, stored jsontext.Value) (jsontext.Value, error) {
	old, err := readCheckpoint(stored)
	if err != nil || old.lastSeq == nil {
		return doc, err
	}
	now, err := readCheckpoint(doc)
	if err != nil {
		return nil, err
	}
	history := now.history
	if len(history) == 0 {
		history = old.history
	}
	out := []byte{'{'}
	err = wire.Members(doc, func(m wire.Member) error {
		if string(m.Name) == "history" {
			m.Value = join(history)
		}
		out = wire.AppendMember(out, m.Key, m.Value)
		return nil
	})
	out = wire.AppendMember(out, jsontext.Value(`"last_seq"`), old.lastSeq)
	return append(out, '}'), err
}

func join(items []jsontext.Value) jsontext.Value {
	out := []byte{'['}
	for i, v := range items {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, v...)
	}
	return append(out, ']')
}
