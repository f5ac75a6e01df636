// Package couch talks to the upstream CouchDB: what replication needs, streaming, with the bytes of documents untouched. It is
// the only importer of Kivik.
//
// # Contract
//
//   - Nothing is sent before names are validated, and they are escaped here and nowhere else.
//   - Documents, sequences and revisions are never decoded and encoded again: numbers, the order of members and duplicate ones
//     stay as CouchDB sent them. Sequences are opaque text.
//   - A failed call says what CouchDB said, in an [Error]; an answer that was cut short is an error and never a clean end.
//     [Transient] tells what may pass by itself.
//   - No call waits for ever: Options.Timeout bounds CouchDB's silence, three heartbeats that of a feed. The caller's context
//     ends a call at any time, and its error is what the call returns.
//   - Only so many calls are under way at a time as the server can take: further ones wait, for Options.Timeout at most, and those
//     of each [Database] take turns. Nothing is sent while a Retry-After lasts. See [Client.Load].
//   - Readers ([Changes], [BulkGet], [AllDocs], the Body of an [Attachment]) must be closed unless they were read to an error or
//     io.EOF, and are for one goroutine at a time.
//   - Nothing is retried but replication requests that a kept-alive connection swallowed (net/http does that), documents of
//     _bulk_docs that may have been too large together, and the feeds of [Feeds] and [Database.Follow]. There are no goroutines
//     besides those of net/http and of [Feeds], which [Feeds.Close] waits for.
//
// # Kivik
//
// Requests go through Kivik's HTTP layer, kivik/v4/couchdb/chttp: the same DSN, authentication and transport as Kivik, and plain
// answers to read from. Kivik's own calls serve for the server's welcome only. Its iterators panic at the clean end of a
// continuous feed, hide heartbeats, drop all but the first leaf of _bulk_get, lose the error names of _bulk_docs, and decode
// what only has to pass; its database calls leave a "+" in a name unescaped, which CouchDB reads as a space, and lose escaped
// slashes when the URL has a base path.
package couch
