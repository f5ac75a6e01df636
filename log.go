package main

import (
	"io"
	stdlog "log"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// newLogger makes the logger that LOG_LEVEL and LOG_FORMAT ask for. It may be used concurrently whatever w is.
func newLogger(c Config, w io.Writer) zerolog.Logger {
	level, _ := zerolog.ParseLevel(c.LogLevel) // oneof has seen to it that there is such a level
	out := zerolog.SyncWriter(w)
	if c.LogFormat == "console" || c.LogFormat == "auto" && isTerminal(w) {
		out = zerolog.SyncWriter(zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w)})
	}
	return zerolog.New(out).Level(level).Hook(zerolog.HookFunc(stamp))
}

// stamp adds the time, in milliseconds and UTC.
func stamp(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}

func isTerminal(w any) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && isatty.IsTerminal(f.Fd())
}

// httpErrorLog is where an http.Server reports what it meets on connections, such as failed TLS handshakes.
func httpErrorLog(log zerolog.Logger) *stdlog.Logger { return stdlog.New(httpErrors{log}, "", 0) }

type httpErrors struct{ log zerolog.Logger }

func (h httpErrors) Write(p []byte) (int, error) {
	h.log.Warn().Msg(strings.TrimSpace(string(p)))
	return len(p), nil
}
