package embedded

import (
	"net/http"
	"os"
	"strconv"
)

// databaseCounts is what the database information is made of.
type databaseCounts struct {
	seq, live, deleted uint64
	size               int64
}

func (db *database) counts() (c databaseCounts, err error) {
	err = db.view(func(v view) error {
		c = databaseCounts{v.number(metaSeq), v.number(metaLive), v.number(metaDeleted), v.tx.Size()}
		return nil
	})
	return c, err
}

// getDatabase shows the database information. The sizes are all that of the file.
func (r *request) getDatabase() error {
	c, err := r.db.counts()
	if err != nil {
		return err
	}
	if info, err := os.Stat(r.db.path); err == nil {
		c.size = info.Size()
	}
	size := strconv.FormatInt(c.size, 10)
	b := append([]byte(nil), `{"instance_start_time":"`+r.db.instanceStartTime()+`","db_name":`...)
	b = appendString(b, r.db.name)
	b = append(b, `,"purge_seq":"`+r.db.sequence(0)+`","update_seq":"`+r.db.sequence(c.seq)+`"`...)
	b = append(b, `,"sizes":{"file":`+size+`,"external":`+size+`,"active":`+size+`},"props":{},"doc_del_count":`...)
	b = strconv.AppendUint(b, c.deleted, 10)
	b = strconv.AppendUint(append(b, `,"doc_count":`...), c.live, 10)
	b = append(b, `,"disk_format_version":8,"compact_running":false,"cluster":{"q":1,"n":1,"w":1,"r":1}}`...)
	return r.sendJSON(http.StatusOK, b)
}

// postEnsureFullCommit has nothing to do: every acknowledged write is durable.
func (r *request) postEnsureFullCommit() error {
	return r.sendJSON(http.StatusCreated, []byte(`{"ok":true,"instance_start_time":"`+r.db.instanceStartTime()+`"}`))
}

func (r *request) getSecurity() error { return r.sendJSON(http.StatusOK, r.secured.raw) }

func (r *request) putSecurity() error {
	if r.db.name == usersDatabase {
		return forbidden("You can't edit the security object of the user database.")
	}
	v, err := r.readJSON()
	if err != nil {
		return err
	}
	if !r.secured.isAdmin(r.user) {
		return errNoMajority
	}
	if v.Kind() != '{' {
		return badRequest("Security object must be a JSON object")
	}
	if err := r.putMeta(metaSecurity, v); err != nil {
		return err
	}
	return r.sendOK(http.StatusOK)
}

// errNoMajority is what a CouchDB 3.5 answers when an unprivileged user sets _security.
var errNoMajority = &failure{status: 500, name: "error", reason: "no_majority"}

func (r *request) putMeta(key metaKey, value []byte) error {
	return r.db.update(func(v view) error { return v.bucket(bucketMeta).Put([]byte(key), value) })
}

func (r *request) getRevsLimit() error {
	var limit uint64
	err := r.db.view(func(v view) error {
		limit = v.number(metaRevsLimit)
		return nil
	})
	if err != nil {
		return err
	}
	return r.sendJSON(http.StatusOK, strconv.AppendUint(nil, limit, 10))
}

func (r *request) putRevsLimit() error {
	v, err := r.readJSON()
	if err != nil {
		return err
	}
	if refused := r.secured.checkAdmin(r.user); refused != nil {
		return refused
	}
	limit, ok := integerValue(v)
	if !ok || limit < 1 {
		return badRequest("revs_limit must be a positive integer")
	}
	if err := r.putMeta(metaRevsLimit, numberKey(uint64(limit))); err != nil {
		return err
	}
	return r.sendOK(http.StatusOK)
}
