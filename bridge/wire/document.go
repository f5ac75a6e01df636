package wire

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Doc is a document revision that a client wants written. The bytes stay as
// the client sent them; the rest is what the bridge must know of them.
type Doc struct {
	Raw         jsontext.Value
	ID, Rev     string
	Deleted     bool
	Ancestors   []string       // revisions before Rev, nearest first
	Attachments jsontext.Value // the value of _attachments, nil when absent
	Refused     *Error         // set by a dialect that can see it is not writable
}

// ParseDoc reads the reserved members of a document, which must be valid JSON. A document that names
// itself twice is refused: whoever checks it must see what CouchDB will see.
func ParseDoc(raw jsontext.Value) (Doc, error) {
	d := Doc{Raw: raw}
	var seen [len(reserved)]bool
	err := Members(raw, func(m Member) error {
		i := slices.Index(reserved[:], string(m.Name))
		if i < 0 {
			return nil
		}
		if seen[i] {
			return fmt.Errorf("member %q stands twice", m.Name)
		}
		seen[i] = true
		return d.member(m)
	})
	return d, err
}

// reserved are the members of a document that the bridge must understand.
var reserved = [...]string{"_id", "_rev", "_deleted", "_attachments", "_revisions"}

func (d *Doc) member(m Member) error {
	switch string(m.Name) {
	case "_id":
		if m.Value.Kind() != '"' {
			return errors.New("_id is not a string")
		}
		d.ID = Text(m.Value)
	case "_rev":
		d.Rev = Text(m.Value)
	case "_deleted":
		d.Deleted = m.Value.Kind() == 't'
	case "_attachments":
		d.Attachments = m.Value
	case "_revisions":
		return d.revisions(m.Value)
	}
	return nil
}

// revisions reads {"start":3,"ids":["c","b","a"]}: the document is 3-c, made
// from 2-b.
func (d *Doc) revisions(v jsontext.Value) error {
	var start int
	var ids []string
	err := Members(v, func(m Member) (err error) {
		switch string(m.Name) {
		case "start":
			start, err = strconv.Atoi(string(m.Value))
		case "ids":
			ids, err = Strings(m.Value)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("_revisions: %w", err)
	}
	for i := 1; i < len(ids) && start-i > 0; i++ {
		d.Ancestors = append(d.Ancestors, strconv.Itoa(start-i)+"-"+ids[i])
	}
	return nil
}

// WithAttachments returns the document's bytes with another _attachments.
func (d *Doc) WithAttachments(attachments jsontext.Value) (jsontext.Value, error) {
	const name = "_attachments"
	out := append(make([]byte, 0, len(d.Raw)+len(attachments)+len(name)+4), '{')
	err := Members(d.Raw, func(m Member) error {
		if string(m.Name) != name {
			out = AppendMember(out, m.Key, m.Value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if attachments != nil {
		out = AppendMember(out, jsontext.Value(`"`+name+`"`), attachments)
	}
	return append(out, '}'), nil
}

// Strings reads a JSON array of strings.
func Strings(array jsontext.Value) ([]string, error) {
	if array.Kind() != '[' {
		return nil, errors.New("not a JSON array")
	}
	out := []string{}
	for i, v := range Items(array) {
		if v.Kind() != '"' {
			return nil, fmt.Errorf("item %d is not a string", i)
		}
		out = append(out, Text(v))
	}
	return out, nil
}
