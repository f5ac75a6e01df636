// Package embedded is a small CouchDB-compatible store, served over HTTP in process and kept in bbolt files. It is there
// so that pouchbridge can be tried, demonstrated and tested without installing CouchDB.
//
// It is not for production: it has one node and no replication of its own, keeps every revision's body until the
// revision is stemmed, never gives space back to the file system, keeps one writer per database, hashes passwords with
// few iterations, and has seen none of the load and the failures CouchDB has.
//
// # What it does
//
// Databases; documents with CouchDB's revision trees, winning revisions, revision ids and revision limit; _bulk_docs
// (new_edits true and false), _bulk_get, _revs_diff, _missing_revs, _all_docs, _changes (normal, longpoll, continuous;
// the filters _doc_ids, _selector, _design and functions of design documents), _local documents, attachments (inline,
// multipart/related, stand-alone with ranges, stubs), validate_doc_update, _security, users and sessions, _db_updates.
// testdata/exchanges.jsonl holds answers of a CouchDB 3.5.0; a test replays them and lists each deviation with its
// reason.
//
// # What it does not do
//
// These answer 501 {"error":"not_implemented"}:
//   - /_active_tasks, /_cluster_setup, /_config, /_dbs_info, /_membership, /_node, /_prometheus,
//     /_replicate, /_reshard, /_scheduler, /_search_analyze, /_stats, /_utils
//   - PUT /_replicator
//   - /{db}/_auto_purge, _compact, _design_docs, _explain, _find, _index, _local_docs, _partition, _purge,
//     _purged_infos, _purged_infos_limit, _shards, _sync_shards, _time_seq, _view_cleanup
//   - /{db}/_design/{ddoc}/_info, _list, _nouveau, _nouveau_info, _rewrite, _search, _search_info, _show, _update, _view
//   - _changes with feed=eventsource or filter=_view
//   - COPY and POST (forms) of a document
//
// # Where it differs from CouchDB
//
//   - Attachments are stored as they come. CouchDB compresses text and takes the digest of the compressed bytes; here
//     the digest is of the content, and so are revision ids of documents with such attachments.
//   - A body keeps the texts of its numbers and strings and all members whose names repeat. CouchDB normalises the
//     former, refuses numbers no double can hold, and keeps the last of the latter.
//   - A sequence of another database, or of an earlier one of the same name, starts a feed from 0. Anything that is no
//     sequence of this store gets 400.
//   - _bulk_get answers JSON even if only multipart is accepted.
//   - An object thrown by validate_doc_update and functions in filters have no require() and none of CouchDB's other
//     globals but isArray, toJSON, sum and log. Functions see a request of method, path, query, userCtx and secObj.
//   - Functions are bounded in time and not in memory: one that asks for terabytes ends the process.
//   - $regex of selectors takes RE2 syntax, and strings compare by the Unicode Collation Algorithm of golang.org/x/text.
//   - Passwords of _users are hashed with Options.PasswordIterations rounds. _users has the rules of CouchDB's
//     _design/_auth built in and no such document; its own documents are for admins and their owners only.
//   - What CouchDB answers with 500 and a fragment of Erlang because a parameter is malformed gets 400 and a reason.
//   - The sizes in the database information are that of the file. A document id is at most 8 KiB.
//
// # Durability
//
// A write is acknowledged once it is synced to disk; concurrent writes share a sync. A temporary store (no Dir) does
// not sync.
package embedded
