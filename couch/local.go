package couch

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
)

// Local documents hold checkpoints: they do not replicate, and CouchDB keeps one revision of each, "0-1", "0-2", without
// checking the one a write names. https://docs.couchdb.org/en/stable/api/local.html

// GetLocal returns the document _local/{id}; a 404 *Error if there is none.
func (d *Database) GetLocal(ctx context.Context, id string) (jsontext.Value, error) {
	r, err := d.local(http.MethodGet, id)
	if err != nil {
		return nil, err
	}
	return d.client.fetch(ctx, r)
}

// PutLocal writes the document _local/{id} and returns its revision. The _id in doc does not matter. A repetition leaves the
// same document and revision behind.
func (d *Database) PutLocal(ctx context.Context, id string, doc jsontext.Value) (rev string, err error) {
	r, err := d.local(http.MethodPut, id)
	if err != nil {
		return "", err
	}
	r.body, r.length = payload(doc)
	return d.client.write(ctx, r)
}

// DeleteLocal deletes the document _local/{id}.
func (d *Database) DeleteLocal(ctx context.Context, id, rev string) error {
	r, err := d.local(http.MethodDelete, id)
	if err != nil {
		return err
	}
	setText(r.query, "rev", rev)
	r.once = true
	_, err = d.client.write(ctx, r)
	return err
}

func (d *Database) local(method, id string) (request, error) {
	r, err := d.document(method, localPrefix+id)
	r.op = "_local"
	return r, err
}

// write makes a call whose answer is {"ok":true,"id":"...","rev":"..."} and returns the revision.
func (c *Client) write(ctx context.Context, r request) (rev string, err error) {
	v, err := c.fetch(ctx, r)
	if err != nil {
		return "", err
	}
	var s scanner
	err = s.each(v, func(name []byte, v value) bool {
		if string(name) == "rev" {
			rev = text(v)
		}
		return true
	})
	if err != nil || rev == "" {
		return "", &Error{Op: r.method + " " + r.op, Err: errMalformed}
	}
	return rev, nil
}
