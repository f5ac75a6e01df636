package embedded

import (
	"net/http"
	"regexp"
	"strconv"
)

// CouchDB's paths. The maps are read-only.
var (
	serverRoot = endpoint{"GET,HEAD", map[string]handler{"GET": (*request).getWelcome}}

	serverEndpoints = map[string]endpoint{
		"_up":         {"GET,HEAD", map[string]handler{"GET": (*request).getUp}},
		"_all_dbs":    {"GET,HEAD", map[string]handler{"GET": (*request).getAllDatabases}},
		"_db_updates": {"GET", map[string]handler{"GET": (*request).getUpdates}},
		"_uuids":      {"GET", map[string]handler{"GET": (*request).getUUIDs}},
		"_session": {"GET,HEAD,POST,DELETE", map[string]handler{
			"GET": (*request).getSession, "POST": (*request).postSession, "DELETE": (*request).deleteSession}},
	}

	databaseRoot = endpoint{"DELETE,GET,HEAD,POST", map[string]handler{
		"GET": (*request).getDatabase, "POST": (*request).postDocument}}

	databaseEndpoints = map[string]endpoint{
		"_bulk_docs":    {"POST", map[string]handler{"POST": (*request).postBulkDocs}},
		"_bulk_get":     {"POST", map[string]handler{"POST": (*request).postBulkGet}},
		"_revs_diff":    {"POST", map[string]handler{"POST": (*request).postRevsDiff}},
		"_missing_revs": {"POST", map[string]handler{"POST": (*request).postMissingRevs}},
		"_changes": {"GET,POST,HEAD", map[string]handler{
			"GET": (*request).getChanges, "POST": (*request).postChanges}},
		"_all_docs": {"GET,HEAD,POST", map[string]handler{
			"GET": (*request).getAllDocs, "POST": (*request).postAllDocs}},
		"_ensure_full_commit": {"POST", map[string]handler{"POST": (*request).postEnsureFullCommit}},
		"_security": {"PUT,GET", map[string]handler{
			"GET": (*request).getSecurity, "PUT": (*request).putSecurity}},
		"_revs_limit": {"PUT,GET", map[string]handler{
			"GET": (*request).getRevsLimit, "PUT": (*request).putRevsLimit}},
	}

	documentEndpoint = endpoint{"DELETE,GET,HEAD,POST,PUT,COPY", map[string]handler{
		"GET": (*request).getDocument, "PUT": (*request).putDocument, "DELETE": (*request).deleteDocument,
		"POST": (*request).postForm, "COPY": (*request).copyDocument}}

	attachmentEndpoint = endpoint{"DELETE,GET,HEAD,PUT", map[string]handler{
		"GET": (*request).getAttachment, "PUT": (*request).putAttachment, "DELETE": (*request).deleteAttachment}}
)

// What CouchDB has and this store has not. The package comment lists the same.
var (
	notImplementedServer = set("_active_tasks", "_cluster_setup", "_config", "_dbs_info", "_membership",
		"_node", "_prometheus", "_replicate", "_reshard", "_scheduler", "_search_analyze", "_stats", "_utils")

	notImplementedDatabase = set("_auto_purge", "_compact", "_design_docs", "_explain", "_find", "_index",
		"_local_docs", "_partition", "_purge", "_purged_infos", "_purged_infos_limit", "_shards", "_sync_shards",
		"_time_seq", "_view_cleanup")

	notImplementedDesign = set("_info", "_list", "_nouveau", "_nouveau_info", "_rewrite", "_search", "_search_info",
		"_show", "_update", "_view")
)

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

func notImplemented(what string) *failure {
	return &failure{status: http.StatusNotImplemented, name: "not_implemented",
		reason: "The embedded store does not implement " + what + ". Use CouchDB."}
}

var databaseNamePattern = regexp.MustCompile(`^[a-z][a-z0-9_$()+/-]*$`)

// maxDatabaseName keeps the file name within what file systems take.
const maxDatabaseName = 238

func validateDatabaseName(name string) error {
	if !databaseNamePattern.MatchString(name) && name != usersDatabase && name != replicatorDatabase {
		return &failure{status: 400, name: "illegal_database_name", reason: "Name: '" + name +
			"'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / " +
			"are allowed. Must begin with a letter."}
	}
	if len(escapeSegment(name)) > maxDatabaseName {
		return &failure{status: 400, name: "database_name_too_long",
			reason: "At least one path segment of `" + name + "` is too long."}
	}
	return nil
}

// serveDatabase serves everything below a database's name.
func (s *Store) serveDatabase(req *request) error {
	name := req.parts[0]
	if len(req.parts) == 1 && (req.Method == http.MethodPut || req.Method == http.MethodDelete) {
		return req.changeDatabases()
	}
	db, err := s.database(name)
	if err != nil {
		return err
	}
	defer db.release()
	req.db = db
	if err := req.checkMember(); err != nil {
		return err
	}
	if len(req.parts) == 1 {
		return databaseRoot.serve(req)
	}
	return req.serveBelowDatabase(req.parts[1:])
}

func (r *request) serveBelowDatabase(parts []string) error {
	e, ok := databaseEndpoints[parts[0]]
	switch {
	case ok && len(parts) == 1:
		return e.serve(r)
	case notImplementedDatabase[parts[0]]:
		return notImplemented("/{db}/" + parts[0])
	case parts[0] == "_local" && len(parts) == 1:
		return badRequest("Invalid _local document id.")
	case parts[0] == "_local" && len(parts) > 2:
		return badRequest("_local documents do not accept attachments.")
	case parts[0] == "_design" && len(parts) > 2 && notImplementedDesign[parts[2]]:
		return notImplemented("/{db}/_design/{ddoc}/" + parts[2])
	}
	if _, attachmentName := r.documentPath(); attachmentName != "" {
		return attachmentEndpoint.serve(r)
	}
	return documentEndpoint.serve(r)
}

// changeDatabases creates or deletes the database the path names.
func (r *request) changeDatabases() error {
	name := r.parts[0]
	if !r.user.isServerAdmin() {
		return errNotServer
	}
	if r.Method == http.MethodPut {
		return r.createDatabase(name)
	}
	if r.query.Has("rev") {
		return badRequest("You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?")
	}
	db, err := r.store.database(name)
	if err != nil {
		return err
	}
	defer db.release()
	if err := r.store.drop(db); err != nil {
		return err
	}
	return r.sendOK(http.StatusOK)
}

func (r *request) createDatabase(name string) error {
	if err := validateDatabaseName(name); err != nil {
		return err
	}
	if name == replicatorDatabase {
		return notImplemented("/" + name)
	}
	if _, err := r.store.create(name); err != nil {
		return err
	}
	r.setLocation(name)
	return r.sendOK(http.StatusCreated)
}

func (r *request) postForm() error     { return notImplemented("POST /{db}/{docid}") }
func (r *request) copyDocument() error { return notImplemented("COPY /{db}/{docid}") }

func (r *request) getWelcome() error {
	return r.sendJSON(http.StatusOK, []byte(`{"couchdb":"Welcome","version":"3.5.0","git_sha":"embedded","uuid":"`+
		r.store.uuid+`","features":[],"vendor":{"name":"pouchbridge embedded store"}}`))
}

func (r *request) getUp() error {
	return r.sendJSON(http.StatusOK, []byte(`{"status":"ok","seeds":{}}`))
}

func (r *request) getAllDatabases() error {
	if !r.user.isServerAdmin() {
		return errNotServer
	}
	names := appendStrings(nil, r.store.databaseNames())
	if r.sendETag(hashTag(names)) {
		return nil
	}
	return r.sendJSON(http.StatusOK, names)
}

const maxUUIDs = 1000

func (r *request) getUUIDs() error {
	count := 1
	if text := r.query.Get("count"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil || count < 0 {
			return badRequest("count must be a positive integer")
		}
	}
	if count > maxUUIDs {
		return badRequest("count parameter too large")
	}
	list := make([]string, count)
	for i := range list {
		list[i] = r.store.options.NewUUID()
	}
	return r.sendJSON(http.StatusOK, append(appendStrings([]byte(`{"uuids":`), list), '}'))
}
