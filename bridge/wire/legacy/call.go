package legacy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
)

// badCall is a call that cannot be made, to be answered under its number.
type badCall struct {
	seq int64
	err *wire.Error
}

func (b *badCall) Error() string { return b.err.Error() }

// errNotCall is data on a channel that is not a call at all.
var errNotCall = errors.New("not a call")

// call reads [seq, dbName, method, args]. The name is not looked at: PouchDB 6
// and later send null, and the database is the channel's in any case.
func (s *Session) call(payload jsontext.Value) (wire.Event, error) {
	parts := wire.Items(payload)
	if len(parts) < 3 || parts[2].Kind() != '"' {
		return nil, errNotCall
	}
	seq, err := strconv.ParseInt(string(parts[0]), 10, 64)
	if err != nil {
		return nil, errNotCall
	}
	var args []jsontext.Value
	if len(parts) > 3 {
		args = wire.Items(parts[3])
	}
	tag := wire.Tag{Call: seq}
	op, err := s.op(wire.Text(parts[2]), args, &tag)
	if err != nil {
		return nil, &badCall{seq: seq, err: asError(err)}
	}
	return wire.Call{Session: s, Tag: tag, Op: op, Size: len(payload)}, nil
}

// op turns a method and its arguments into an operation. Methods not named
// here do not exist; a client cannot reach more of a database than replication
// needs.
func (s *Session) op(method string, args []jsontext.Value, tag *wire.Tag) (wire.Op, error) {
	switch method {
	case "_id":
		return wire.GetID{}, nil
	case "_info":
		return wire.GetInfo{}, nil
	case "get":
		return s.get(args)
	case "_getRevisionTree":
		id, err := stringArg(args, 0)
		return wire.GetRevisions{ID: id}, err
	case "allDocs":
		return allDocs(arg(args, 0))
	case "_bulkDocs":
		return s.bulkDocs(arg(args, 0))
	case "_changes":
		listener, err := strconv.ParseInt(string(arg(args, 0)), 10, 64)
		if err != nil {
			return nil, errors.New("_changes: the listener is not a number")
		}
		tag.Feed = listener
		return changes(arg(args, 1))
	case "destroy":
		return nil, &wire.Error{Status: 403, Name: "forbidden", Reason: "a database cannot be destroyed through the bridge"}
	}
	return nil, &wire.Error{Name: "Error", Reason: "No method named " + method}
}

// asError makes a client's mistake its error.
func asError(err error) *wire.Error {
	if e := (*wire.Error)(nil); errors.As(err, &e) {
		return e
	}
	return &wire.Error{Status: 400, Name: "bad_request", Reason: err.Error()}
}

func arg(args []jsontext.Value, i int) jsontext.Value {
	if i < len(args) {
		return args[i]
	}
	return nil
}

func stringArg(args []jsontext.Value, i int) (string, error) {
	if v := arg(args, i); v.Kind() == '"' {
		return wire.Text(v), nil
	}
	return "", fmt.Errorf("argument %d is not a string", i)
}

const localPrefix = "_local/"

// get reads [id] of a local document or [id, {open_revs, ...}].
func (s *Session) get(args []jsontext.Value) (wire.Op, error) {
	id, err := stringArg(args, 0)
	if err != nil {
		return nil, err
	}
	if local, ok := strings.CutPrefix(id, localPrefix); ok {
		return wire.GetLocal{ID: local}, nil
	}
	op := wire.OpenRevs{ID: id}
	asked := false
	err = wire.Members(arg(args, 1), func(m wire.Member) (err error) {
		switch string(m.Name) {
		case "open_revs":
			asked = true
			if wire.Text(m.Value) != "all" {
				op.Revs, err = wire.Strings(m.Value)
			}
		case "latest":
			op.Latest = m.Value.Kind() == 't'
		case "attachments":
			op.Attachments = m.Value.Kind() == 't'
		}
		return err
	})
	if err != nil || !asked {
		return nil, errors.New("get: only local documents and open_revs can be read")
	}
	s.takesAttachments = op.Attachments
	return op, nil
}

func allDocs(opts jsontext.Value) (wire.Op, error) {
	var op wire.AllDocs
	err := wire.Members(opts, func(m wire.Member) (err error) {
		switch string(m.Name) {
		case "keys":
			op.Keys, err = wire.Strings(m.Value)
		case "include_docs":
			op.IncludeDocs = m.Value.Kind() == 't'
		}
		return err
	})
	if err != nil || op.Keys == nil {
		return nil, errors.New("allDocs: keys, an array of strings, is wanted")
	}
	return op, nil
}

// changes reads the options of a feed. What would make the server run or apply
// something of the client's is refused; no client sends it.
func changes(opts jsontext.Value) (wire.Op, error) {
	var op wire.Changes
	err := wire.Members(opts, func(m wire.Member) (err error) {
		switch string(m.Name) {
		case "since":
			op.Since = sequence(m.Value)
		case "limit":
			op.Limit, err = limit(m.Value)
		case "live", "continuous":
			op.Live = op.Live || m.Value.Kind() == 't'
		case "filter", "doc_ids", "selector", "view", "query_params":
			if m.Value.Kind() != 'n' {
				err = &wire.Error{Status: 403, Name: "forbidden", Reason: string(m.Name) + " cannot be used through the bridge"}
			}
		case "include_docs", "descending":
			if m.Value.Kind() == 't' {
				err = fmt.Errorf("%s is not supported", m.Name)
			}
		}
		return err
	})
	return op, err
}

// limit is a number of rows; PouchDB writes false for none.
func limit(v jsontext.Value) (int, error) {
	if v.Kind() != '0' {
		return 0, nil
	}
	n, err := strconv.Atoi(string(v))
	if err != nil || n < 0 {
		return 0, errors.New("limit is not a whole number")
	}
	return n, nil
}

// sequence is the text of a sequence that this bridge or another server gave to
// the client: a string, or any other JSON.
func sequence(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		return wire.Text(v)
	case 'n', 'f', 't':
		return ""
	}
	return string(v)
}
