package legacy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
)

// errLostContent is an attachment whose content never reached the wire.
var errLostContent = errors.New("its content was lost in the client")

// repairAttachments makes attachments as this client sends them into CouchDB's.
// PouchDB 5.4 and later put a Node Buffer there, which JSON makes
// {"type":"Buffer","data":[...]}, or in a browser a Blob, which JSON makes {}:
// its content is lost, and the document is refused rather than written without
// it.
func repairAttachments(doc *wire.Doc) error {
	if doc.Attachments == nil || doc.Attachments.Kind() != '{' {
		return nil
	}
	repaired := []byte{'{'}
	changed := false
	err := wire.Members(doc.Attachments, func(m wire.Member) error {
		v, done, err := repairAttachment(m.Value)
		if errors.Is(err, errLostContent) {
			doc.Refused = &wire.Error{Status: 403, Name: "forbidden", Reason: fmt.Sprintf(
				"attachment %q: %v: this version of PouchDB cannot send attachments from a browser", m.Name, err)}
			return nil
		}
		changed = changed || done
		repaired = wire.AppendMember(repaired, m.Key, v)
		return err
	})
	if err != nil || !changed || doc.Refused != nil {
		return err
	}
	doc.Attachments = append(repaired, '}')
	doc.Raw, err = doc.WithAttachments(doc.Attachments)
	return err
}

// repairAttachment returns the attachment with its data as base64, and whether
// it had to be changed.
func repairAttachment(att jsontext.Value) (jsontext.Value, bool, error) {
	if att.Kind() != '{' {
		return att, false, nil
	}
	out := []byte{'{'}
	changed := false
	err := wire.Members(att, func(m wire.Member) (err error) {
		if string(m.Name) == "data" && m.Value.Kind() == '{' {
			changed = true
			m.Value, err = bufferToBase64(m.Value)
		}
		out = wire.AppendMember(out, m.Key, m.Value)
		return err
	})
	if err != nil || !changed {
		return att, false, err
	}
	return append(out, '}'), true, nil
}

// bufferToBase64 turns {"type":"Buffer","data":[1,2,...]} into a JSON string.
func bufferToBase64(v jsontext.Value) (jsontext.Value, error) {
	var data []byte
	found := false
	err := wire.Members(v, func(m wire.Member) (err error) {
		if string(m.Name) == "data" && m.Value.Kind() == '[' {
			found = true
			data, err = bytesOf(m.Value)
		}
		return err
	})
	if err == nil && !found {
		err = errLostContent
	}
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, base64.StdEncoding.EncodedLen(len(data))+2), '"')
	out = base64.StdEncoding.AppendEncode(out, data)
	return append(out, '"'), nil
}

// bytesOf reads a JSON array of numbers from 0 to 255. A 5 MiB attachment is 5
// million of them, so they are read by hand.
func bytesOf(array jsontext.Value) ([]byte, error) {
	out := make([]byte, 0, len(array)/3)
	n, digits := 0, 0
	for _, c := range array[1:] {
		switch {
		case '0' <= c && c <= '9':
			n, digits = n*10+int(c-'0'), digits+1
		case c == ',' || c == ']':
			if digits == 0 && len(array) > 2 || n > 255 {
				return nil, fmt.Errorf("item %d of a Buffer is not a byte", len(out))
			}
			if digits > 0 {
				out = append(out, byte(n))
			}
			n, digits = 0, 0
		case c != ' ':
			n = 256
		}
		if n > 255 {
			n = 256 // whatever digits follow
		}
	}
	return out, nil
}

// withoutAttachments is the document without its attachments. PouchDB 5.4 and
// later fail on any document that has them.
func withoutAttachments(doc jsontext.Value) jsontext.Value {
	if !bytes.Contains(doc, []byte(`"_attachments"`)) {
		return doc
	}
	d := wire.Doc{Raw: doc}
	out, err := d.WithAttachments(nil)
	if err != nil {
		return doc // not an object: nothing to leave out
	}
	return out
}
