package legacy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
)

// bulkDocs reads {"docs": [...], "new_edits": false} of a replication, or the
// one local document of a checkpoint.
func (s *Session) bulkDocs(body jsontext.Value) (wire.Op, error) {
	var docs []wire.Doc
	newEdits := true
	err := wire.Members(body, func(m wire.Member) (err error) {
		switch string(m.Name) {
		case "docs":
			docs, err = readDocs(m.Value)
		case "new_edits":
			newEdits = m.Value.Kind() != 'f'
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("_bulkDocs: %w", err)
	}
	if len(docs) == 1 && strings.HasPrefix(docs[0].ID, localPrefix) {
		return putCheckpoint(docs[0]), nil
	}
	if newEdits {
		return nil, errors.New("_bulkDocs: only new_edits=false can be written")
	}
	for i := range docs {
		if strings.HasPrefix(docs[i].ID, localPrefix) {
			return nil, errors.New("_bulkDocs: a local document is written alone")
		}
		if err := repairAttachments(&docs[i]); err != nil {
			return nil, fmt.Errorf("_bulkDocs: document %d: %w", i, err)
		}
	}
	return wire.BulkDocs{Docs: docs, KeepAttachments: !s.takesAttachments}, nil
}

func readDocs(array jsontext.Value) ([]wire.Doc, error) {
	if array.Kind() != '[' {
		return nil, errors.New("docs is not an array")
	}
	var docs []wire.Doc
	for i, raw := range wire.Items(array) {
		doc, err := wire.ParseDoc(raw)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		docs = append(docs, doc)
	}
	return docs, nil
}
