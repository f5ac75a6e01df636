package embedded

import (
	"net/http"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// missing is what a database lacks of a document.
type missing struct {
	id        string
	revs      []revision
	ancestors []revision // leaves that may be ancestors of revs
}

// readMissing compares the revisions of the request, {"id":["1-x","2-y"]}, with what is here.
func (r *request) readMissing() ([]missing, error) {
	v, err := r.readObject()
	if err != nil {
		return nil, err
	}
	var asked []missing
	err = members(v, func(m member) error {
		revs, err := revisionArray(m.value)
		asked = append(asked, missing{id: m.name, revs: revs})
		return err
	})
	if err != nil {
		return nil, err
	}
	err = r.db.view(func(v view) error {
		for i := range asked {
			if err := v.removeKnown(&asked[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return slices.DeleteFunc(asked, func(m missing) bool { return len(m.revs) == 0 }), err
}

// removeKnown is couch_db:get_missing_revs/2 for one document.
func (v view) removeKnown(m *missing) error {
	info, err := v.info(m.id)
	if err != nil || info == nil {
		return err
	}
	m.revs = slices.DeleteFunc(m.revs, func(rev revision) bool {
		_, known := info.tree.find(rev)
		return known
	})
	for _, l := range info.tree.ranked() {
		if slices.ContainsFunc(m.revs, func(rev revision) bool { return l.start < rev.pos }) {
			m.ancestors = append(m.ancestors, l.revision())
		}
	}
	return nil
}

func appendRevisions(dst []byte, revs []revision) []byte {
	list := make([]string, len(revs))
	for i, rev := range revs {
		list[i] = rev.String()
	}
	return appendStrings(dst, list)
}

func (r *request) postRevsDiff() error {
	lacks, err := r.readMissing()
	if err != nil {
		return err
	}
	body := appendMissing([]byte("{"), lacks, func(dst []byte, m missing) []byte {
		dst = appendRevisions(append(dst, `{"missing":`...), m.revs)
		if len(m.ancestors) > 0 {
			dst = appendRevisions(append(dst, `,"possible_ancestors":`...), m.ancestors)
		}
		return append(dst, '}')
	})
	return r.sendJSON(http.StatusOK, append(body, '}'))
}

func (r *request) postMissingRevs() error {
	lacks, err := r.readMissing()
	if err != nil {
		return err
	}
	body := appendMissing([]byte(`{"missing_revs":{`), lacks, func(dst []byte, m missing) []byte {
		return appendRevisions(dst, m.revs)
	})
	return r.sendJSON(http.StatusOK, append(body, "}}"...))
}

func appendMissing(dst []byte, lacks []missing, value func([]byte, missing) []byte) jsontext.Value {
	for i, m := range lacks {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = value(append(appendString(dst, m.id), ':'), m)
	}
	return dst
}
