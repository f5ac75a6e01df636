package wire

import "github.com/go-json-experiment/json/jsontext"

// Op is an operation of a session. The set is closed: what is not here cannot
// be asked in any dialect.
type Op interface{ op() }

// GetID asks for the database's stable identity, part of the names of
// checkpoints. Result: [ID].
type GetID struct{}

// GetInfo asks how much the database holds. Result: [Info].
type GetInfo struct{}

// GetLocal reads a local document, which is where checkpoints are.
// Result: [JSON].
type GetLocal struct{ ID string } // without "_local/"

// PutLocal writes a local document. Result: [LocalWritten].
type PutLocal struct {
	ID  string // without "_local/"
	Doc jsontext.Value
	// Mend, when not nil, makes the document to be written from the stored one.
	// The bridge reads the stored document first and calls Mend if there is one.
	Mend func(stored jsontext.Value) (jsontext.Value, error)
}

// GetRevisions asks which revisions of a document are known. Result:
// [Revisions], which may leave out ancestors, and leaves that are then written
// once more without effect; an unknown document fails with status 404.
type GetRevisions struct{ ID string }

// OpenRevs reads the named revisions of a document, each with its history.
// Result: [OpenRevsResult].
type OpenRevs struct {
	ID          string
	Revs        []string // nil: all leaves
	Latest      bool     // where a revision is not a leaf, its leaves instead
	Attachments bool     // attachments with their content, else stubs
}

// AllDocs reads the winning revisions of the named documents. Result:
// [AllDocsResult].
type AllDocs struct {
	Keys        []string
	IncludeDocs bool
}

// BulkDocs writes revisions made elsewhere (new_edits=false). Result:
// [BulkDocsResult].
type BulkDocs struct {
	Docs []Doc
	// KeepAttachments says that the client may have been given documents
	// without their attachments: where it edits one, attachments of the parent
	// revision that it does not name are kept.
	KeepAttachments bool
}

// Changes reads the changes feed, with all leaves of each document: a page of
// at most Limit rows, or for ever when Live. Rows and the end are sent with
// Session.Change, Session.Complete and Session.FeedFailed. Result: [Accepted],
// before the first row.
type Changes struct {
	Since string // a sequence, or "" for the start
	Limit int    // 0: no limit
	Live  bool
}

func (GetID) op()        {}
func (GetInfo) op()      {}
func (GetLocal) op()     {}
func (PutLocal) op()     {}
func (GetRevisions) op() {}
func (OpenRevs) op()     {}
func (AllDocs) op()      {}
func (BulkDocs) op()     {}
func (Changes) op()      {}

// Result is the answer to an operation.
type Result interface{ result() }

type (
	// ID answers [GetID].
	ID string
	// Info answers [GetInfo].
	Info struct {
		DocCount  int64
		UpdateSeq string
	}
	// JSON is CouchDB's own answer, an object.
	JSON jsontext.Value
	// LocalWritten answers [PutLocal].
	LocalWritten struct{ ID, Rev string }
	// Revisions answers [GetRevisions]: the history of each leaf, as far as it
	// is known.
	Revisions []History
	// OpenRevsResult answers [OpenRevs].
	OpenRevsResult struct {
		Revs []OpenRev
		// Attachments says that the client can take them.
		Attachments bool
	}
	// AllDocsResult answers [AllDocs].
	AllDocsResult struct {
		TotalRows int64 // -1: unknown
		Rows      []DocRow
	}
	// BulkDocsResult answers [BulkDocs]: the documents that were not written.
	BulkDocsResult []Refused
	// Accepted answers [Changes].
	Accepted struct{}
)

func (ID) result()             {}
func (Info) result()           {}
func (JSON) result()           {}
func (LocalWritten) result()   {}
func (Revisions) result()      {}
func (OpenRevsResult) result() {}
func (AllDocsResult) result()  {}
func (BulkDocsResult) result() {}
func (Accepted) result()       {}

// History is a leaf revision and its ancestors, as in `_revisions`.
type History struct {
	Start   int      // generation of the leaf
	IDs     []string // newest first
	Deleted bool
}

// OpenRev is a revision's document, or the revision that is missing.
type OpenRev struct {
	Doc     jsontext.Value
	Missing string // set when Doc is nil
}

// DocRow is a row of _all_docs.
type DocRow struct {
	Row      jsontext.Value // as CouchDB sends it; where Conflict is set, doc may be null
	ID, Rev  string
	Conflict bool // the document has more than one live leaf
}

// Refused is a document that was not written, and why.
type Refused struct {
	ID, Rev string
	Err     Error
}
