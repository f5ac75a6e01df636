package embedded

import "fmt"

// failure is an answer of CouchDB's error shape: {"error":name,"reason":reason} under an HTTP status. The texts are
// CouchDB's own, because clients compare them.
type failure struct {
	status int
	name   string
	reason string
	// rawReason, when set, is sent instead of reason: a validation function may throw any JSON value.
	rawReason []byte
	// ref is CouchDB's reference to its log, in errors it did not foresee.
	ref uint32
}

func (f *failure) Error() string { return fmt.Sprintf("%d %s: %s", f.status, f.name, f.reason) }

func badRequest(reason string) *failure {
	return &failure{status: 400, name: "bad_request", reason: reason}
}
func notFound(reason string) *failure {
	return &failure{status: 404, name: "not_found", reason: reason}
}
func forbidden(reason string) *failure {
	return &failure{status: 403, name: "forbidden", reason: reason}
}
func unauthorized(reason string) *failure {
	return &failure{status: 401, name: "unauthorized", reason: reason}
}
func illegalID(reason string) *failure {
	return &failure{status: 400, name: "illegal_docid", reason: reason}
}
func invalidDocument(reason string) *failure {
	return &failure{status: 400, name: "doc_validation", reason: reason}
}
func methodNotAllowed(allowed string) *failure {
	return &failure{status: 405, name: "method_not_allowed", reason: "Only " + allowed + " allowed"}
}
func missingStub(id, name string) *failure {
	return &failure{status: 412, name: "missing_stub", reason: "Invalid attachment stub in " + id + " for " + name}
}

var (
	errMissing         = notFound("missing")
	errDeleted         = notFound("deleted")
	errNoDatabase      = notFound("Database does not exist.")
	errNoAttachment    = notFound("Document is missing attachment")
	errConflict        = &failure{status: 409, name: "conflict", reason: "Document update conflict."}
	errMissingRevision = &failure{status: 409, name: "not_found", reason: "missing_rev"}
	errDatabaseThere   = &failure{status: 412, name: "file_exists",
		reason: "The database could not be created, the file already exists."}
	errJSON          = badRequest("invalid UTF-8 JSON")
	errNotObject     = badRequest("Document must be a JSON object")
	errTooLarge      = &failure{status: 413, name: "too_large", reason: "the request entity is too large"}
	errNotServer     = unauthorized("You are not a server admin.")
	errCredentials   = unauthorized("Name or password is incorrect.")
	errClosed        = &failure{status: 503, name: "service unavailable", reason: "The store is being closed."}
	errSince         = badRequest("Malformed sequence supplied in 'since' parameter.")
	errRange         = &failure{status: 416, name: "requested_range_not_satisfiable", reason: "Requested range not satisfiable"}
	errDigestDecoded = &failure{status: 500, name: "unknown_error", reason: "function_clause", ref: 1}
)
