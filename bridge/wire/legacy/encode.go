package legacy

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
)

// appendEvent appends [id, event].
func appendEvent(dst []byte, id, event string) []byte {
	dst = wire.AppendString(append(dst, '['), id)
	dst = append(dst, `,"`...)
	dst = append(dst, event...)
	return append(dst, "\"]\n"...)
}

// appendData appends [id, "data", payload].
func appendData(dst []byte, id, payload string) []byte {
	dst = openData(dst, id)
	dst = append(dst, payload...)
	return closeData(dst)
}

func openData(dst []byte, id string) []byte {
	dst = wire.AppendString(append(dst, '['), id)
	return append(dst, `,"data",`...)
}

func closeData(dst []byte) []byte { return append(dst, "]\n"...) }

// appendJSON appends JSON that came from CouchDB. Each line is one message, so a
// line break between its tokens must go.
func appendJSON(dst []byte, v jsontext.Value) []byte {
	start := len(dst)
	dst = append(dst, v...)
	for line := dst[start:]; ; {
		i := bytes.IndexByte(line, '\n')
		if i < 0 {
			return dst
		}
		line[i] = ' '
		line = line[i+1:]
	}
}

// payload appends a payload on the channel.
func (s *Session) payload(dst []byte, payload string) []byte {
	if id, ok := s.channel(); ok {
		return appendData(dst, id, payload)
	}
	return dst
}

// Granted answers the request and opens the channel. The answer comes first: a
// client drops a stream whose name it does not know yet.
func (s *Session) Granted(dst []byte) []byte {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.ended || s.granted {
		return dst
	}
	name, request := newID(), s.id
	delete(s.conn.streams, request)
	s.id, s.granted = newID(), true
	s.conn.streams[s.id] = s

	dst = appendData(dst, request, `[null,"`+name+`"]`)
	dst = appendEvent(dst, request, "end")
	dst = appendEvent(dst, request, "close")
	dst = wire.AppendString(append(dst, '['), s.id)
	return append(dst, `,"new",{"meta":"`+name+`","opts":{"writable":true,"readable":true}}]`+"\n"...)
}

// Denied answers the request with an error; the client's sync emits it.
func (s *Session) Denied(dst []byte, message string) []byte {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.granted || !s.endLocked() {
		return dst
	}
	dst = append(openData(dst, s.id), `[{"message":`...)
	dst = wire.AppendString(dst, message)
	dst = closeData(append(dst, `}]`...))
	dst = appendEvent(dst, s.id, "end")
	return appendEvent(dst, s.id, "close")
}

// End closes the channel.
func (s *Session) End(dst []byte) []byte {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if !s.granted || !s.endLocked() {
		return dst
	}
	return appendEvent(appendEvent(dst, s.id, "end"), s.id, "close")
}

// Pause asks the client to send nothing on the channel until Resume.
func (s *Session) Pause(dst []byte) []byte { return s.event(dst, "pause") }

// Resume takes a Pause back.
func (s *Session) Resume(dst []byte) []byte { return s.event(dst, "resume") }

func (s *Session) event(dst []byte, event string) []byte {
	if id, ok := s.channel(); ok {
		return appendEvent(dst, id, event)
	}
	return dst
}

// Failed answers a call with an error, which ends the client's replication for
// good unless it is a 404 it knows how to take. A failure that may pass is
// therefore never answered: after a lost connection the client starts again.
func (s *Session) Failed(dst []byte, t wire.Tag, err *wire.Error) ([]byte, bool) {
	if err.Transient {
		return dst, false
	}
	return s.failed(dst, t.Call, err), true
}

func (s *Session) failed(dst []byte, seq int64, err *wire.Error) []byte {
	id, ok := s.channel()
	if !ok {
		return dst
	}
	dst = append(openData(dst, id), '[')
	dst = strconv.AppendInt(dst, seq, 10)
	dst = appendError(append(dst, ",["...), err)
	return closeData(append(dst, ",null]]"...))
}

// appendError appends what the client rebuilds an Error from.
func appendError(dst []byte, err *wire.Error) []byte {
	dst = wire.AppendString(append(dst, `{"message":`...), err.Reason)
	if err.Status != 0 {
		dst = strconv.AppendInt(append(dst, `,"status":`...), int64(err.Status), 10)
	}
	dst = wire.AppendString(append(dst, `,"name":`...), err.Name)
	return append(dst, `,"error":true}`...)
}

// Change sends a row of a feed as it came from CouchDB.
func (s *Session) Change(dst []byte, t wire.Tag, row jsontext.Value) []byte {
	id, ok := s.channel()
	if !ok {
		return dst
	}
	dst = appendFeed(openData(dst, id), "change", t)
	dst = appendJSON(dst, row)
	return closeData(append(dst, "]]"...))
}

// Complete ends a page of changes. The client takes nothing from it; the
// sequence is what the original sends.
func (s *Session) Complete(dst []byte, t wire.Tag, lastSeq string) []byte {
	id, ok := s.channel()
	if !ok {
		return dst
	}
	dst = appendFeed(openData(dst, id), "complete", t)
	dst = wire.AppendString(append(dst, `{"results":[],"last_seq":`...), lastSeq)
	return closeData(append(dst, "}]]"...))
}

// FeedFailed ends a feed, and with it the client's replication; see Failed.
func (s *Session) FeedFailed(dst []byte, t wire.Tag, err *wire.Error) ([]byte, bool) {
	if err.Transient {
		return dst, false
	}
	id, ok := s.channel()
	if !ok {
		return dst, true
	}
	dst = appendFeed(openData(dst, id), "error", t)
	dst = appendError(dst, err)
	return closeData(append(dst, "]]"...)), true
}

func appendFeed(dst []byte, event string, t wire.Tag) []byte {
	dst = append(dst, `["_event","`+event+`",[`...)
	return append(strconv.AppendInt(dst, t.Feed, 10), ',')
}
