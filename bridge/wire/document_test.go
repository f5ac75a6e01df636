package wire

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func TestParseDoc(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, raw string
		want      Doc
		err       string
	}{
		{"plain", `{"_id":"a","_rev":"1-x","n":1}`, Doc{ID: "a", Rev: "1-x"}, ""},
		{"escaped", `{"\u005fid":"a\u002fb"}`, Doc{ID: "a/b"}, ""},
		{"history", `{"_id":"a","_rev":"4-d","_revisions":{"start":4,"ids":["d","c","b"]}}`, Doc{ID: "a", Rev: "4-d", Ancestors: []string{"3-c", "2-b"}}, ""},
		{"deleted", `{"_id":"a","_deleted":true}`, Doc{ID: "a", Deleted: true}, ""},
		{"attachments", `{"_id":"a","_attachments":{"f":{}}}`, Doc{ID: "a", Attachments: jsontext.Value(`{"f":{}}`)}, ""},
		{"below generation 1", `{"_revisions":{"start":2,"ids":["c","b","a"]}}`, Doc{Ancestors: []string{"1-b"}}, ""},
		{"named twice", `{"_id":"a","\u005fid":"b"}`, Doc{}, `member "_id" stands twice`},
		{"id is no string", `{"_id":1}`, Doc{}, "_id is not a string"},
		{"no object", `[1]`, Doc{}, "not a JSON object"},
		{"bad history", `{"_revisions":{"start":"x"}}`, Doc{}, `_revisions: strconv.Atoi: parsing "\"x\"": invalid syntax`},
		{"members of users may stand twice", `{"_id":"a","x":1,"x":2}`, Doc{ID: "a"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseDoc(jsontext.Value(tt.raw))
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Fatalf("got error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Raw = jsontext.Value(tt.raw)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithAttachmentsKeepsBytes(t *testing.T) {
	t.Parallel()
	d := Doc{Raw: jsontext.Value(`{ "a":1.0, "_attachments":{"x":{}}, "big":12345678901234567890, "a":"\ud800" }`)}
	for attachments, want := range map[string]string{
		"":         `{"a":1.0,"big":12345678901234567890,"a":"\ud800"}`,
		`{"y":{}}`: `{"a":1.0,"big":12345678901234567890,"a":"\ud800","_attachments":{"y":{}}}`,
	} {
		var v jsontext.Value
		if attachments != "" {
			v = jsontext.Value(attachments)
		}
		got, err := d.WithAttachments(v)
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}

func TestHasMember(t *testing.T) {
	t.Parallel()
	for obj, want := range map[string]bool{
		`{"_conflicts":[]}`:       true,
		`{"a":{"_conflicts":[]}}`: false,
		`{"a":"_conflicts"}`:      false,
		``:                        false,
	} {
		if got := HasMember(jsontext.Value(obj), "_conflicts"); got != want {
			t.Errorf("%s: got %t", obj, got)
		}
	}
}

// FuzzParseDoc wants the reserved members to be what a rewriting keeps.
func FuzzParseDoc(f *testing.F) {
	f.Add([]byte(`{"_id":"a","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"_attachments":{"f":{}},"n":[1.0,"\ud800"]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := ParseDoc(raw) // must not panic whatever it is given
		if err != nil || !Valid(raw) {
			return
		}
		out, err := d.WithAttachments(jsontext.Value(`{}`))
		if err != nil {
			t.Fatalf("%s was parsed but not rewritten: %v", raw, err)
		}
		again, err := ParseDoc(out)
		if err != nil {
			t.Fatalf("%s became %s: %v", raw, out, err)
		}
		d.Raw, again.Raw = nil, nil
		d.Attachments, again.Attachments = nil, nil
		if diff := cmp.Diff(d, again); diff != "" {
			t.Errorf("%s became %s (-before +after):\n%s", raw, out, diff)
		}
	})
}

// FuzzItems compares the scanner with a decoder that checks everything.
func FuzzItems(f *testing.F) {
	f.Add([]byte(`[1,"a\\\"]",{"b":[2,{}]},[],null,-1.5e3 , "\\\\" ]`))
	f.Add([]byte(` { "a" : [ ] , "b\"" : {"c":"}"} } `))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got []jsontext.Value
		_ = Members(text, func(m Member) error {
			got = append(got, m.Key, m.Value)
			return nil
		})
		got = append(got, Items(text)...)
		if !Valid(text) {
			return
		}
		d := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		if k := d.PeekKind(); k != '{' && k != '[' {
			return
		}
		_, _ = d.ReadToken()
		var want []jsontext.Value
		for k := d.PeekKind(); k != '}' && k != ']'; k = d.PeekKind() {
			v, err := d.ReadValue()
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, v.Clone())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	})
}
