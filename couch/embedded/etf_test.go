package embedded

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// TestNewRevisionIDEqualsCouchDB compares with revisions a CouchDB 3.5.0 gave (testdata/exchanges.jsonl).
func TestNewRevisionIDEqualsCouchDB(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, doc, want string }{
		{"empty", `{}`, "1-967a00dff5e02add41819138abb3284d"},
		{"numbers", `{"n":1,"float":1,"big":12345678901234567000}`, "1-9e17062f11e0c1abf57e9d528652707c"},
		{"second", `{"_rev":"1-9e17062f11e0c1abf57e9d528652707c","n":2}`, "2-ef06ee1a9dea801f4cd7d1461619995f"},
		{"deletion", `{"_rev":"2-ef06ee1a9dea801f4cd7d1461619995f","_deleted":true}`, "3-433e2666371c61491736a10e64914794"},
		{"string", `{"v":"noid"}`, "1-ffa5a8ce6cca96f4cbd8e9484d2f446e"},
		{"nested", `{"validate_doc_update":"function(n,o,u){ if(n.bad) throw({forbidden:\"no bad\"}); if(n.who) throw({unauthorized:\"who are you\"}); if(n.boom) throw(new Error(\"boom\")); }","filters":{"f":"function(d,r){return d.k===r.query.k}"}}`, "1-44b9d9c56e0f752215761f89469a3bca"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d, err := parseDocument(jsontext.Value(test.doc), 8000000)
			if err != nil {
				t.Fatal(err)
			}
			id, err := newRevisionID(d)
			if err != nil {
				t.Fatal(err)
			}
			if got := (revision{d.revs.start + 1, id}).String(); got != test.want {
				t.Errorf("revision %s, CouchDB gave %s", got, test.want)
			}
		})
	}
}
