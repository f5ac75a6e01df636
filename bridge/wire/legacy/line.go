package legacy

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrTooLong is returned by Conn.Receive for a line over the limit.
var ErrTooLong = errors.New("line too long")

// ErrNotJSON is returned by Conn.Receive for a line that is not JSON. Which
// stream it belonged to cannot be told, so the connection cannot go on.
var ErrNotJSON = errors.New("line is not JSON")

// lines cuts websocket messages into lines: a message may hold several, and a
// line may be spread over several messages.
type lines struct {
	limit   int
	partial []byte // the beginning of a line whose end has not come
}

// each calls fn with every line that msg completes, without its newline. Lines
// alias msg, except one that began in an earlier message. A line that msg only
// begins is not copied if it is most of it.
func (l *lines) each(msg []byte, fn func(line []byte) error) error {
	size := len(msg)
	for {
		end := bytes.IndexByte(msg, '\n')
		if end < 0 {
			if len(l.partial) == 0 && 2*len(msg) > size && len(msg) <= l.limit {
				l.partial = msg[:len(msg):len(msg)]
				return nil
			}
			return l.keep(msg)
		}
		line := msg[:end:end]
		msg = msg[end+1:]
		if len(l.partial) > 0 {
			if err := l.keep(line); err != nil {
				return err
			}
			line, l.partial = l.partial, nil
		}
		if err := fn(line); err != nil {
			return err
		}
	}
}

func (l *lines) keep(part []byte) error {
	if n := len(l.partial) + len(part); n > l.limit {
		return fmt.Errorf("%w: over %d bytes", ErrTooLong, l.limit)
	}
	l.partial = append(l.partial, part...)
	return nil
}
