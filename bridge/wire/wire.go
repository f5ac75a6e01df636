// Package wire is what the bridge's dialects mean: what a client can ask for
// and what the bridge can answer, with no I/O and no policy.
//
// A dialect (package legacy; v1 later) turns websocket messages into [Event]
// values and the bridge's answers into bytes. Events carry the dialect's own
// [Session], which encodes everything the bridge says in that session, so the
// bridge never knows which protocol it speaks.
package wire

import "github.com/go-json-experiment/json/jsontext"

// Event is something a client said. Events of one connection are in order.
type Event interface{ event() }

// Open asks for a database. The bridge answers with Session.Granted or
// Session.Denied, once.
type Open struct {
	Session     Session
	Database    string         // as asked, not validated
	Credentials jsontext.Value // nil when the client sent none
}

// Call asks for one operation in a granted session.
type Call struct {
	Session Session
	Tag     Tag
	Op      Op
	Size    int // bytes the call holds in memory
}

// Flow says that the client wants no more data in a session, or wants it again.
type Flow struct {
	Session Session
	Paused  bool
}

// Close says that the client has left a session, granted or not.
type Close struct{ Session Session }

// Reply is bytes to send that the dialect decided on by itself: an answer to
// malformed input, or a courtesy of the protocol.
type Reply struct{ Data []byte }

func (Open) event()  {}
func (Call) event()  {}
func (Flow) event()  {}
func (Close) event() {}
func (Reply) event() {}

// Tag names a call within its session, and for a feed also its listener.
type Tag struct {
	Call int64
	Feed int64 // the client's name for the feed of a Changes call
}

// Session encodes what the bridge says in one session. Its methods append
// complete messages to dst and return it; they may be called concurrently.
// A session that has ended appends nothing.
type Session interface {
	// Granted opens the session.
	Granted(dst []byte) []byte
	// Denied refuses it, and ends it.
	Denied(dst []byte, message string) []byte
	// Result answers a call.
	Result(dst []byte, t Tag, r Result) []byte
	// Failed answers a call that failed. It reports false, and appends nothing,
	// when the client could not recover from being told: the bridge then ends
	// the connection instead, after which the client starts again by itself.
	Failed(dst []byte, t Tag, err *Error) ([]byte, bool)
	// Change sends one row of a feed.
	Change(dst []byte, t Tag, row jsontext.Value) []byte
	// Complete ends a feed that is not live. lastSeq is JSON.
	Complete(dst []byte, t Tag, lastSeq string) []byte
	// FeedFailed ends a feed with an error; the bool is as of Failed.
	FeedFailed(dst []byte, t Tag, err *Error) ([]byte, bool)
	// Pause asks the client to send nothing in this session until Resume.
	Pause(dst []byte) []byte
	Resume(dst []byte) []byte
	// End closes the session from the bridge's side.
	End(dst []byte) []byte
}

// Error is a failure as a client sees it. Name and Reason are CouchDB's own
// words where CouchDB said them.
type Error struct {
	Status    int // HTTP's meaning
	Name      string
	Reason    string
	Transient bool // it may go away by itself
}

func (e *Error) Error() string { return e.Name + ": " + e.Reason }
