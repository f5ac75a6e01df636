// Package legacy speaks the protocol of pouch-websocket-sync 0.3, so that its
// published clients need not be changed. It has no I/O: Conn.Receive takes
// websocket messages, [Session] makes them. This is the specification; every
// statement was seen on the wire or proved with unmodified clients on PouchDB
// 5.0 to 9.0, and the transcripts in testdata are the proof that is kept.
//
// # Lines
//
// A websocket message, text or binary, holds any number of lines, and a line may
// be spread over messages. A line is a JSON value and a newline. We send whole
// lines only: a client decodes each message on its own, and a line that is cut
// inside a character would be corrupted.
//
// # Streams (mux-demux 3.7)
//
//	[id, "new", {"meta": name, "opts": {"writable": true, "readable": true}}]
//	[id, "data", value]
//	[id, "end"]          the sender has no more data
//	[id, "close"]        the sender has dropped the stream; answered with close
//	[id, "error", ...]   taken as close
//	[id, "pause"]        send no data on this stream until
//	[id, "resume"]
//
// Whoever opens a stream chooses its id. Events of an unknown id, and lines that
// are not arrays beginning with two strings, are ignored.
//
// # Negotiation (pipe-channels 0.1)
//
// For each database the client opens a stream and sends, once,
//
//	{"database": "todos", "credentials": any}
//
// We answer [null, name], end and close, and open a stream with that name as its
// meta: the channel, on which everything else goes. Or we answer [{"message":
// text}], end and close, and the client's sync emits an error. The answer comes
// before the new stream: a client drops a stream whose name it does not know.
//
// # Calls (pouch-remote-stream 0.3)
//
//	client: [seq, database, method, args]
//	bridge: [seq, [null, result]]   or   [seq, [error, null]]
//
// The database is null from PouchDB 6 on, and ignored. Calls run at the
// same time and are answered in any order. The methods are
//
//	_id              []
//	_info            []
//	get              ["_local/..."]
//	get              [id, {"open_revs": [...], "revs": true, "latest", "attachments"}]
//	_getRevisionTree [id]
//	allDocs          [{"keys": [...], "include_docs": true}]
//	_bulkDocs        [{"docs": [one _local document]}, {"new_edits": true}]
//	_bulkDocs        [{"docs": [...], "new_edits": false}]
//	_changes         [listener, {"since", "limit", "live"}]
//
// No others exist. An error other than a 404 that says "missing" ends the
// client's replication in both directions until its websocket is connected
// anew, so a failure that may pass is never answered (see Session.Failed).
//
// # Feeds
//
//	["_event", "change",   [listener, row]]
//	["_event", "complete", [listener, {"results": [], "last_seq": seq}]]
//	["_event", "error",    [listener, error]]
//
// A feed that is not live sends at most limit rows and then complete. A live one
// ignores limit and never completes. It ends with its channel; there is no call
// to cancel it.
//
// # Cures
//
// What the clients get wrong and a server can put right:
//
//   - A 5.x client takes the winner of a document from allDocs and then never
//     asks for losing leaves of generation 1: documents with conflicts are
//     hidden in allDocs, and the client reads them with open_revs.
//   - From 5.4 on a document with attachments kills the sync: they are left out,
//     and kept on the server when the client edits the document (see
//     wire.BulkDocs.KeepAttachments). A client of 5.4 or later can therefore not
//     remove an attachment that is on the server; nor can one of 5.0 to 5.3 in a
//     session in which it has not read a document yet, as only that tells them
//     apart.
//   - From 5.4 on attachments are sent as JSON of a Buffer, which becomes base64,
//     or of a Blob, which is empty: such a document is refused as forbidden, so
//     that the others go on.
//   - From 5.4 on a checkpoint is written without last_seq after an idle
//     reconnect, and the next one would scan the whole database: it is mended
//     from the stored one.
//   - Rows of documents that were not written have both shapes, CouchDB's and
//     PouchDB's, without which a client takes forbidden for a failure.
package legacy
