package legacy

import (
	"errors"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
)

// Session is one database on a connection: a request stream that the client
// opened and, once granted, a channel stream that we opened. It is a
// [wire.Session].
type Session struct {
	conn *Conn

	// Owned by the goroutine that calls Conn.Receive.
	asked            bool
	takesAttachments bool // it asked for attachments, as PouchDB 5.0 to 5.3 do

	// Guarded by conn.mu.
	id      string // of the request stream until granted, of the channel stream afterwards
	granted bool
	ended   bool
}

var _ wire.Session = (*Session)(nil)

func (s *Session) isGranted() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.granted
}

// end forgets the session and reports whether it was still there.
func (s *Session) end() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.endLocked()
}

func (s *Session) endLocked() bool {
	if s.ended {
		return false
	}
	s.ended = true
	delete(s.conn.streams, s.id)
	return true
}

// channel is the id of the channel stream, or false when there is none to send
// on.
func (s *Session) channel() (string, bool) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.id, s.granted && !s.ended
}

// data reads the payload of a data event; nil: there is nothing to do.
func (s *Session) data(payload jsontext.Value) (wire.Event, error) {
	if s.isGranted() {
		return s.call(payload)
	}
	if s.asked {
		return nil, nil
	}
	s.asked = true
	return s.request(payload)
}

// request reads {"database": string, "credentials": any}.
func (s *Session) request(payload jsontext.Value) (wire.Event, error) {
	open := wire.Open{Session: s}
	named := false
	err := wire.Members(payload, func(m wire.Member) error {
		switch string(m.Name) {
		case "database":
			open.Database, named = wire.Text(m.Value), m.Value.Kind() == '"'
		case "credentials":
			open.Credentials = m.Value
		}
		return nil
	})
	if errors.Is(err, wire.ErrNotObject) {
		return nil, errors.New("the request for a database is not an object")
	}
	if err == nil && !named {
		err = errors.New("the request names no database; with PouchDB 6 and later, sync needs the option remoteName")
	}
	return open, err
}

// mistaken answers data that is JSON but not what the protocol wants.
func (s *Session) mistaken(err error) []byte {
	if !s.isGranted() {
		return s.Denied(nil, err.Error())
	}
	if bad := (*badCall)(nil); errors.As(err, &bad) {
		return s.failed(nil, bad.seq, bad.err)
	}
	return s.End(s.payload(nil, `[-1,[{"message":"require an array"}]]`))
}
