package embedded

import (
	"encoding/base64"
	"strconv"
)

// rendering says what to show of a document beside its body.
type rendering struct {
	revs        bool
	meta        *docMeta
	attachments bool // show contents where they were loaded; otherwise only stubs
}

// docMeta is what a document's tree says about it: filled in for winners only, as in CouchDB.
type docMeta struct {
	revsInfo         []revisionStatus
	conflicts        []string
	deletedConflicts []string
	localSeq         uint64
}

type revisionStatus struct{ rev, status string }

// appendDocument adds a document as JSON (couch_doc:to_json_obj/2).
func appendDocument(dst []byte, d *document, how rendering) []byte {
	dst = appendString(append(dst, `{"_id":`...), d.id)
	if !d.revs.none() {
		dst = appendString(append(dst, `,"_rev":`...), d.revs.revision().String())
	}
	if len(d.body) > 0 {
		dst = append(append(dst, ','), d.body...)
	}
	if d.deleted {
		dst = append(dst, `,"_deleted":true`...)
	}
	if how.revs && !d.revs.none() {
		dst = append(dst, `,"_revisions":`...)
		dst = d.revs.appendJSON(dst)
	}
	if how.meta != nil {
		dst = how.meta.appendJSON(dst)
	}
	if len(d.atts) > 0 {
		dst = d.appendAttachments(dst, how)
	}
	return append(dst, '}')
}

func (h history) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"start":`...)
	dst = strconv.AppendInt(dst, int64(h.start), 10)
	dst = append(dst, `,"ids":`...)
	ids := make([]string, len(h.ids))
	for i, id := range h.ids {
		ids[i] = revisionIDText(h.start, id)
	}
	return append(appendStrings(dst, ids), '}')
}

func (m *docMeta) appendJSON(dst []byte) []byte {
	if m.revsInfo != nil {
		dst = append(dst, `,"_revs_info":[`...)
		for i, r := range m.revsInfo {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(append(dst, `{"rev":`...), r.rev)
			dst = append(dst, `,"status":"`+r.status+`"}`...)
		}
		dst = append(dst, ']')
	}
	if len(m.conflicts) > 0 {
		dst = appendStrings(append(dst, `,"_conflicts":`...), m.conflicts)
	}
	if len(m.deletedConflicts) > 0 {
		dst = appendStrings(append(dst, `,"_deleted_conflicts":`...), m.deletedConflicts)
	}
	if m.localSeq > 0 {
		dst = strconv.AppendUint(append(dst, `,"_local_seq":`...), m.localSeq, 10)
	}
	return dst
}

func (d *document) appendAttachments(dst []byte, how rendering) []byte {
	dst = append(dst, `,"_attachments":{`...)
	for i := range d.atts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = d.atts[i].appendJSON(dst, how.attachments)
	}
	return append(dst, '}')
}

// appendJSON adds `"name":{...}`: a stub, or with its content where that was loaded (couch_att:to_json/4).
func (a *attachment) appendJSON(dst []byte, content bool) []byte {
	dst = appendString(dst, a.name)
	dst = appendString(append(dst, `:{"content_type":`...), a.contentType)
	dst = strconv.AppendInt(append(dst, `,"revpos":`...), int64(a.revpos), 10)
	if content || !a.isNew() { // validation functions see no digest of what is only being stored
		dst = append(dst, `,"digest":"md5-`+a.digestText()+`"`...)
	}
	dst = append(dst, ',')
	if content && a.source == inlineContent {
		dst = base64.StdEncoding.AppendEncode(append(dst, `"data":"`...), a.data)
		return append(dst, `"}`...)
	}
	dst = strconv.AppendInt(append(dst, `"length":`...), a.length, 10)
	if content && a.source == followsContent {
		return append(dst, `,"follows":true}`...)
	}
	return append(dst, `,"stub":true}`...)
}
