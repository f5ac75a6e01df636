package embedded

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// TestNewRevisionIDEqualsCouchDB compares with revisions that a CouchDB 3.5.0 gave to the same edits.
func TestNewRevisionIDEqualsCouchDB(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, doc, want string }{
		{"empty", `{}`, "1-967a00dff5e02add41819138abb3284d"},
		{"numbers", `{"n":1,"float":1,"big":12345678901234567000}`, "1-9e17062f11e0c1abf57e9d528652707c"},
		{"second", `{"_rev":"1-9e17062f11e0c1abf57e9d528652707c","n":2}`, "2-ef06ee1a9dea801f4cd7d1461619995f"},
		{"deletion", `{"_rev":"2-ef06ee1a9dea801f4cd7d1461619995f","_deleted":true}`, "3-433e2666371c61491736a10e64914794"},
		{"string", `{"v":"noid"}`, "1-ffa5a8ce6cca96f4cbd8e9484d2f446e"},
		{"nested", `{"validate_doc_update":"function(n,o,u){ if(n.bad) throw({forbidden:\"no bad\"}); if(n.who) throw({unauthorized:\"who are you\"}); if(n.boom) throw(new Error(\"boom\")); }","filters":{"f":"function(d,r){return d.k===r.query.k}"}}`, "1-44b9d9c56e0f752215761f89469a3bca"},
		{"floats", `{"f":1.0,"e":1e5,"nz":-0.0,"small":1e-300}`, "1-e0b02253e539cb84edc8d2b4048c7fca"},
		{"integers", `{"n":-1,"i":[255,256,-2147483648,-2147483649,2147483647,2147483648]}`, "1-c83d4a8ee8f79655e739534251cf3b0b"},
		{"big negative", `{"big":-` + strings.Repeat("9", 40) + `}`, "1-ab8c8769cfff90e43260dc8cbdf8cf41"},
		{"text and literals", `{"s":"\u0000\u00e9\ud83d\ude00","t":[true,false,null],"o":{"":{"x":[]}}}`, "1-44a3d3a5d824eee6f458461fb0638c09"},
		{"deleted at once", `{"_deleted":true,"x":1}`, "1-9a6e683ed6ff87055449755563763f76"},
		{"attachments", `{"_attachments":{"b":{"data":"AAEC","content_type":"image/png"},"a":{"data":"","content_type":"application/octet-stream"}},"x":1}`,
			"1-d95247a473e8854571ae6f4e938401ff"},
		{"list of one byte", `{"l":[7]}`, "1-8c79d410259adfd907e43275062d737a"},
		{"longest string term", `{"l":[7` + strings.Repeat(",7", 65534) + `]}`, "1-636cba8648d1eeb9f27110997a7da45c"},
		{"list of bytes beyond", `{"l":[7` + strings.Repeat(",7", 65535) + `]}`, "1-cbbc992f107a7ee70c0acd3487d6f024"},
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
