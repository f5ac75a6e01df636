package embedded

import (
	"crypto/md5"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

// _local documents are not replicated, have no history and never conflict: each write counts up the revision it was
// given (couch_db:increment_local_doc_revs/1).

// checkLocal gives the document its new revision.
func (u *updater) checkLocal(c *candidate) error {
	id := "1"
	switch {
	case c.deleted:
		id = "0"
	case c.revs.none():
	default:
		n, err := strconv.ParseUint(c.revs.ids[0], 10, 63)
		if err != nil || c.revs.start != 0 {
			return errRevisionFormat
		}
		id = strconv.FormatUint(n+1, 10)
	}
	c.revs = history{0, []string{id}}
	c.result.rev = c.revs.revision()
	return nil
}

func (u *updater) writeLocal(c *candidate) error {
	bucket := u.view.bucket(bucketLocal)
	if c.deleted {
		return bucket.Delete([]byte(c.id))
	}
	return bucket.Put([]byte(c.id), append(appendText(nil, c.revs.ids[0]), c.body...))
}

// local reads a _local document.
func (db *database) local(id string) (d *document, err error) {
	err = db.view(func(v view) error {
		raw := v.bucket(bucketLocal).Get([]byte(id))
		if raw == nil {
			return errMissing
		}
		r := recordReader{rest: raw}
		d = &document{id: id, revs: history{0, []string{r.text()}}}
		d.body = append([]byte(nil), r.rest...)
		if r.bad {
			return errCorrupt
		}
		return nil
	})
	return d, err
}

func (r *request) getLocal(id string) error {
	d, err := r.db.local(id)
	if err != nil {
		return err
	}
	if r.sendETag(d.etag(d.revs.revision().String())) {
		return nil
	}
	return r.sendJSON(http.StatusOK, appendDocument(nil, d, rendering{revs: r.flag("revs")}))
}

// etag is the revision, but for _local documents, whose revisions may repeat: these get a hash.
func (d *document) etag(rev string) string {
	if !d.isLocal() {
		return rev
	}
	return hashTag(append([]byte(rev), d.body...))
}

// hashTag makes an entity tag of a content.
func hashTag(content []byte) string {
	sum := md5.Sum(content)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}
