package legacy

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
)

// Result answers a call in the shape that PouchDB's local adapters give.
func (s *Session) Result(dst []byte, t wire.Tag, r wire.Result) []byte {
	id, ok := s.channel()
	if !ok {
		return dst
	}
	dst = append(openData(dst, id), '[')
	dst = strconv.AppendInt(dst, t.Call, 10)
	dst = appendResult(append(dst, ",[null,"...), r)
	return closeData(append(dst, "]]"...))
}

func appendResult(dst []byte, r wire.Result) []byte {
	switch r := r.(type) {
	case wire.ID:
		return wire.AppendString(dst, string(r))
	case wire.Info:
		dst = strconv.AppendInt(append(dst, `{"doc_count":`...), r.DocCount, 10)
		dst = wire.AppendString(append(dst, `,"update_seq":`...), r.UpdateSeq)
		return append(dst, '}')
	case wire.JSON:
		return appendJSON(dst, jsontext.Value(r))
	case wire.LocalWritten:
		dst = wire.AppendString(append(dst, `[{"ok":true,"id":`...), localPrefix+r.ID)
		dst = wire.AppendString(append(dst, `,"rev":`...), r.Rev)
		return append(dst, "}]"...)
	case wire.Revisions:
		return appendTree(dst, r)
	case wire.OpenRevsResult:
		return appendOpenRevs(dst, r)
	case wire.AllDocsResult:
		return appendAllDocs(dst, r)
	case wire.BulkDocsResult:
		return appendRefused(dst, r)
	case wire.Accepted:
		return append(dst, "null"...)
	}
	panic(fmt.Sprintf("legacy: no encoding of a %T", r))
}

// appendTree appends a revision tree of one straight path per leaf. The client
// only asks which revisions are in it with status available.
func appendTree(dst []byte, leaves wire.Revisions) []byte {
	dst = append(dst, '[')
	for i, leaf := range leaves {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"pos":`...)
		dst = strconv.AppendInt(dst, int64(leaf.Start-len(leaf.IDs)+1), 10)
		dst = append(dst, `,"ids":`...)
		for j := len(leaf.IDs) - 1; j >= 0; j-- {
			dst = wire.AppendString(append(dst, '['), leaf.IDs[j])
			dst = append(dst, `,{"status":"available"`...)
			if j == 0 && leaf.Deleted {
				dst = append(dst, `,"deleted":true`...)
			}
			dst = append(dst, "},["...)
		}
		for range leaf.IDs {
			dst = append(dst, "]]"...)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendOpenRevs(dst []byte, r wire.OpenRevsResult) []byte {
	dst = append(dst, '[')
	for i, rev := range r.Revs {
		if i > 0 {
			dst = append(dst, ',')
		}
		if rev.Doc == nil {
			dst = wire.AppendString(append(dst, `{"missing":`...), rev.Missing)
			dst = append(dst, '}')
			continue
		}
		doc := rev.Doc
		if !r.Attachments {
			doc = withoutAttachments(doc)
		}
		dst = appendJSON(append(dst, `{"ok":`...), doc)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendAllDocs hides the document of a row that has conflicts: PouchDB 5 takes
// the winner from here and then never asks for the other leaves.
func appendAllDocs(dst []byte, r wire.AllDocsResult) []byte {
	dst = append(dst, `{"offset":0,"total_rows":`...)
	dst = strconv.AppendInt(dst, max(r.TotalRows, 0), 10)
	dst = append(dst, `,"rows":[`...)
	for i, row := range r.Rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		if row.Conflict {
			dst = appendHiddenRow(dst, row)
		} else {
			dst = appendJSON(dst, row.Row)
		}
	}
	return append(dst, "]}"...)
}

func appendHiddenRow(dst []byte, row wire.DocRow) []byte {
	id := wire.AppendString(nil, row.ID)
	dst = wire.AppendMember(append(dst, '{'), jsontext.Value(`"id"`), id)
	dst = wire.AppendMember(dst, jsontext.Value(`"key"`), id)
	dst = wire.AppendString(append(dst, `,"value":{"rev":`...), row.Rev)
	return append(dst, `},"doc":null}`...)
}

// appendRefused gives each row both shapes, PouchDB's and CouchDB's: only a row
// with a name of forbidden or unauthorized leaves the replication running.
func appendRefused(dst []byte, rows wire.BulkDocsResult) []byte {
	dst = append(dst, '[')
	for i, row := range rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		row.Err = survivable(row.Err)
		reason := wire.AppendString(nil, row.Err.Reason)
		dst = wire.AppendString(append(dst, `{"id":`...), row.ID)
		dst = wire.AppendString(append(dst, `,"rev":`...), row.Rev)
		dst = strconv.AppendInt(append(dst, `,"error":true,"status":`...), int64(row.Err.Status), 10)
		dst = wire.AppendString(append(dst, `,"name":`...), row.Err.Name)
		dst = append(append(dst, `,"message":`...), reason...)
		dst = append(append(dst, `,"reason":`...), reason...)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// survivable renames a refusal that concerns one document for ever. Under its
// own name it would end the client's whole replication, again after each
// restart; as forbidden the client emits denied and goes on with the others.
func survivable(err wire.Error) wire.Error {
	if err.Status == http.StatusRequestEntityTooLarge {
		err.Reason = err.Name + ": " + err.Reason
		err.Name = "forbidden"
	}
	return err
}
