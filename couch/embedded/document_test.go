package embedded

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestBodiesAreKept: what a client wrote comes back with its numbers, escapes, order and repeated names.
func TestBodiesAreKept(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	bodies := []string{
		`"n":1.0,"e":1e5,"big":123456789012345678901234567890,"z":-0.0`,
		`"b":1,"a":2,"b":3`,
		`"\u00e9":"\u0041\/\ud83d\ude00","é":"é"`,
		`"nested":{"x":[1,{"_id":"kept","y":null}],"":{}}`,
		``,
	}
	for i, body := range bodies {
		path := fmt.Sprintf("/db/%d", i)
		rev := s.put(path, "{ \n"+strings.ReplaceAll(body, ",", " ,\t")+"\r\n}")
		want := fmt.Sprintf(`{"_id":"%d","_rev":"%s",%s}`+"\n", i, rev, body)
		if body == "" {
			want = strings.Replace(want, ",}", "}", 1)
		}
		if got := s.must(200, "GET", path, ""); got != want {
			t.Errorf("got %s want %s", got, want)
		}
	}
}

func TestDocumentErrors(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{MaxDocumentSize: 100, MaxRequestSize: 1000})
	s.must(201, "PUT", "/db", "")
	rev := s.put("/db/d", "{}")
	long := strings.Repeat("x", 100)
	tests := []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"PUT", "/db/d", `{"x":"` + long + `"}`, 413, `{"error":"document_too_large","reason":""}`},
		{"POST", "/db/_bulk_docs", `{"docs":[{"_id":"ok"},{"_id":"big","x":"` + long + `"}]}`, 413, `{"error":"document_too_large","reason":"big"}`},
		{"POST", "/db/_bulk_docs", `{"docs":[` + numbered(100, `{"_id":"%010d"}`) + `]}`, 413, `{"error":"too_large","reason":"the request entity is too large"}`},
		{"GET", "/db/ok", "", 404, `"missing"`},
		{"PUT", "/db/d", `{"_rev":"` + rev + `"`, 400, "invalid UTF-8 JSON"},
		{"PUT", "/db/d", "{\"x\":\"\xff\"}", 400, "invalid UTF-8 JSON"},
		{"PUT", "/db/d", "{\"x\":{\"y\":\"\xff\"}}", 400, "invalid UTF-8 JSON"},
		{"PUT", "/db/d", `{} {}`, 400, "invalid UTF-8 JSON"},
		{"PUT", "/db/d", `[1]`, 400, "Document must be a JSON object"},
		{"PUT", "/db/d?rev=" + rev, `{"_rev":"1-other"}`, 400, "different values"},
		{"PUT", "/db/d", `{"_rev":"1-zz"}`, 409, "conflict"},
		{"PUT", "/db/d", `{"_rev":"x"}`, 400, "Invalid rev format"},
		{"PUT", "/db/d", `{"_rev":"1-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"}`, 400, "Invalid rev format"},
		{"PUT", "/db/d", `{"_deleted":1}`, 400, "Bad special document member: _deleted"},
		{"PUT", "/db/d", `{"_revisions":{"start":1,"ids":["a","b"]}}`, 400, "_revisions.start"},
		{"PUT", "/db/d", `{"_revisions":{"start":"1","ids":["a","b"]}}`, 400, "isn't an integer"},
		{"PUT", "/db/d", `{"_revisions":{"start":1,"ids":7}}`, 400, "isn't a array"},
		{"PUT", "/db/d?new_edits=false", `{}`, 400, "new_edits: false"},
		{"POST", "/db/_bulk_docs", `{"docs":[],"new_edits":1}`, 400, "must be a boolean"},
		{"POST", "/db/_bulk_docs", `[]`, 400, "Request body must be a JSON object"},
		{"POST", "/db/_bulk_docs", `{"docs":[{"_id":""}]}`, 400, "must not be empty"},
		{"PUT", "/db/" + strings.Repeat("x", maxIDLength+1), `{}`, 400, "too long"},
		{"PUT", "/db/_design%2F", `{}`, 400, "Illegal document id"},
		{"PUT", "/" + strings.Repeat("d", 239), ``, 400, "database_name_too_long"},
		{"PUT", "/db/%ff", `{}`, 400, "valid UTF-8"},
		{"POST", "/db/_revs_diff", `{"d":7}`, 400, "Invalid list of revisions"},
		{"PATCH", "/db/d", ``, 405, "method_not_allowed"},
		{"PUT", "/_up", ``, 405, "Only GET,HEAD allowed"},
	}
	for _, test := range tests {
		w := s.do(test.method, test.path, test.body)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s %.40s %.60s: %d %s, want %d %s", test.method, test.path, test.body, w.Code, w.Body, test.status, test.want)
		}
	}
	s.must(415, "POST", "/db/_bulk_docs", `{}`, "Content-Type: text/plain")
	s.must(415, "PUT", "/db/d", `{}`, "Content-Encoding: br")
}

func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{MaxRequestSize: 1000})
	s.must(201, "PUT", "/db", "")
	pack := func(text string) string {
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		if _, err := zip.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	s.must(201, "PUT", "/db/d", pack(`{"x":1}`), "Content-Encoding: gzip")
	s.wants(`"x":1`, "GET", "/db/d", "")
	s.must(413, "PUT", "/db/e", pack(`{"x":"`+strings.Repeat("x", 2000)+`"}`), "Content-Encoding: gzip")
	s.must(400, "PUT", "/db/e", `{"x":1}`, "Content-Encoding: gzip")
}

// TestHead compares HEAD with GET.
func TestHead(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	s.put("/db/d", `{"_attachments":{"a":{"data":"aGVsbG8="}}}`)
	s.put("/db/_local/l", `{}`)
	web := httptest.NewServer(s.store)
	defer web.Close()
	client := web.Client()
	for _, path := range []string{"/", "/_up", "/_all_dbs", "/_session", "/db", "/db/d", "/db/d/a", "/db/_local/l", "/db/_all_docs", "/db/_changes", "/db/none"} {
		got, err := client.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		head, err := client.Head(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		head.Body.Close()
		if head.StatusCode != got.StatusCode || head.Header.Get("Content-Type") != got.Header.Get("Content-Type") || head.Header.Get("ETag") != got.Header.Get("ETag") {
			t.Errorf("%s: HEAD %d %v, GET %d %v", path, head.StatusCode, head.Header, got.StatusCode, got.Header)
		}
	}
	client.CloseIdleConnections()
}

func TestEntityTags(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	rev := s.put("/db/d", `{}`)
	s.must(304, "GET", "/db/d", "", `If-None-Match: "`+rev+`"`)
	s.must(200, "GET", "/db/d?revs_info=true", "", `If-None-Match: "`+rev+`"`)
	s.must(409, "PUT", "/db/d", `{}`, `If-Match: "1-abc"`)
	s.must(201, "PUT", "/db/d", `{}`, `If-Match: "`+rev+`"`)
	s.put("/db/_local/l", `{"x":1}`)
	tag := s.do("GET", "/db/_local/l", "").Header().Get("ETag")
	s.must(304, "GET", "/db/_local/l", "", "If-None-Match: "+tag)
	s.put("/db/_local/l", `{"x":2}`)
	s.must(200, "GET", "/db/_local/l", "", "If-None-Match: "+tag)
}

// TestRevisionLimit makes many edits under a small limit: old bodies go, the latest stay.
func TestRevisionLimit(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	s.must(200, "PUT", "/db/_revs_limit", "3")
	s.wants("3", "GET", "/db/_revs_limit", "")
	revs := []string{s.put("/db/d", `{"i":0}`)}
	for i := 1; i < 6; i++ {
		revs = append(revs, s.put("/db/d", fmt.Sprintf(`{"_rev":"%s","i":%d}`, revs[i-1], i)))
	}
	s.wants(`"start":6,"ids":["`+revs[5][2:]+`","`+revs[4][2:]+`","`+revs[3][2:]+`"]`, "GET", "/db/d?revs=true", "")
	s.must(404, "GET", "/db/d?rev="+revs[2], "")
	s.wants(`"i":3`, "GET", "/db/d?rev="+revs[3], "")
	for _, bad := range []string{"0", "-1", `"x"`, "1.5"} {
		s.must(400, "PUT", "/db/_revs_limit", bad)
	}
	db, err := s.store.database("db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.release()
	if err := db.view(func(v view) error {
		if n := v.bucket(bucketBodies).Stats().KeyN; n != 3 {
			t.Errorf("%d bodies are kept", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestBulkIsAllOrNothingAtFirst: a fault of one document refuses the request before anything is written.
func TestBulkIsAllOrNothingAtFirst(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	for _, bad := range []string{`{"_id":"_x"}`, `{"_rev":"x"}`, `{"_foo":1}`, `7`, `{"_id":"s","_attachments":{"a":{"stub":true}}}`,
		`{"_id":"_local/x","_rev":"1-a"}`, `{"_attachments":{"a":{"data":"*"}}}`} {
		s.do("POST", "/db/_bulk_docs", `{"docs":[{"_id":"fine"},`+bad+`]}`)
		s.must(404, "GET", "/db/fine", "")
	}
	s.wants(`"doc_count":0`, "GET", "/db", "")
	s.wants(`{"id":"twice","error":"conflict"`, "POST", "/db/_bulk_docs", `{"docs":[{"_id":"twice","x":1},{"_id":"twice","x":2}]}`)
	s.wants(`"x":1`, "GET", "/db/twice", "")
}

func TestAllDocsRanges(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	const docs = rowsPerView + 50
	s.must(201, "POST", "/db/_bulk_docs", `{"docs":[`+numbered(docs, `{"_id":"%04d"}`)+`]}`)
	s.must(201, "POST", "/db/_bulk_docs", `{"docs":[{"_id":"0000x","_deleted":true}]}`)
	tests := []struct {
		query       string
		rows        int
		first, last string
		offset      int
	}{
		{"", docs, "0000", fmt.Sprintf("%04d", docs-1), 0},
		{"descending=true", docs, fmt.Sprintf("%04d", docs-1), "0000", 0},
		{"startkey=%220290%22", docs - 290, "0290", fmt.Sprintf("%04d", docs-1), 290},
		{"startkey=%220290%22&endkey=%220292%22", 3, "0290", "0292", 290},
		{"startkey=%220290%22&endkey=%220292%22&inclusive_end=false", 2, "0290", "0291", 290},
		{"startkey=%220292%22&endkey=%220290%22&descending=true", 3, "0292", "0290", docs - 293},
		{"start_key=%220100x%22&end_key=%220102x%22", 2, "0101", "0102", 101},
		{"startkey=%220100x%22&descending=true&limit=2", 2, "0100", "0099", docs - 101},
		{"skip=255&limit=3", 3, "0255", "0257", 255},
		{"key=%220007%22", 1, "0007", "0007", 7},
		{"key=%22nope%22", 0, "", "", docs},
		{"limit=0", 0, "", "", 0},
		{"keys=%5B%220003%22,%22zz%22,%220000x%22%5D&include_docs=true", 3, "0003", "0000x", -1},
	}
	for _, test := range tests {
		got := s.must(200, "GET", "/db/_all_docs?"+test.query, "")
		rows := strings.Split(strings.TrimSpace(got), "\r\n")
		rows = rows[1 : len(rows)-1]
		if test.rows == 0 {
			rows = rows[1:]
		}
		offset := fmt.Sprintf(`{"total_rows":%d,"offset":%d,`, docs, test.offset)
		if test.offset < 0 {
			offset = strings.Replace(offset, "-1", "null", 1)
		}
		if len(rows) != test.rows || !strings.HasPrefix(got, offset) {
			t.Errorf("%s: %d rows, %.60s; want %d, %s", test.query, len(rows), got, test.rows, offset)
			continue
		}
		if test.rows > 0 && (!strings.HasPrefix(rows[0], `{"id":"`+test.first+`"`) || !strings.HasPrefix(rows[len(rows)-1], `{"id":"`+test.last+`"`)) {
			t.Errorf("%s: from %s to %s", test.query, rows[0], rows[len(rows)-1])
		}
	}
	s.must(400, "GET", "/db/_all_docs?limit=x", "")
	s.must(400, "GET", "/db/_all_docs?startkey=x", "")
	s.wants(`"update_seq":"`, "POST", "/db/_all_docs?update_seq=true", `{"keys":["0001"]}`)
}
