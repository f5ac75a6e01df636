package embedded

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// zeros is a body of n zero bytes that is never in memory.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.n)
	clear(p[:n])
	z.n -= n
	return int(n), nil
}

// TestAttachmentStreams measures the heap and therefore runs alone.
func TestAttachmentStreams(t *testing.T) {
	const size = 48<<20 + 5
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w := s.send("PUT", "/db/d/big", &zeros{size}, "Content-Type: application/x-big")
	if w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > size/4 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	sum := md5.New()
	if _, err := io.Copy(sum, &zeros{size}); err != nil {
		t.Fatal(err)
	}
	s.wants(fmt.Sprintf(`"digest":"md5-%s","length":%d`, base64.StdEncoding.EncodeToString(sum.Sum(nil)), size), "GET", "/db/d", "")
	if got := s.must(206, "GET", "/db/d/big", "", fmt.Sprintf("Range: bytes=%d-", size-3)); got != "\x00\x00\x00" {
		t.Errorf("the end is %q", got)
	}
	if got := s.do("GET", "/db/d/big", "").Body.Len(); got != size {
		t.Errorf("read %d bytes back", got)
	}
}

// broken fails after some bytes.
type broken struct{ rest io.Reader }

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.rest.Read(p)
	if err == io.EOF {
		err = errors.New("connection lost")
	}
	return n, err
}

// TestFailedUploadsLeaveNothing counts what is in the file after uploads that were refused or cut off.
func TestFailedUploadsLeaveNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{MaxAttachmentSize: 3 * uploadPiece})
	s.must(201, "PUT", "/db", "")
	rev := s.put("/db/d", "{}")
	uploads := []struct {
		name, path string
		body       io.Reader
		status     int
	}{
		{"conflict", "/db/d/a", &zeros{2 * uploadPiece}, 409},
		{"connection lost", "/db/d/a?rev=" + rev, &broken{&zeros{2 * uploadPiece}}, 400},
		{"too large", "/db/d/a?rev=" + rev, &zeros{4 * uploadPiece}, 413},
		{"too large, small pieces", "/db/d/a?rev=" + rev, io.MultiReader(&zeros{3 * uploadPiece}, strings.NewReader("x")), 413},
	}
	for _, upload := range uploads {
		if w := s.send("PUT", upload.path, upload.body); w.Code != upload.status {
			t.Errorf("%s: %d %s", upload.name, w.Code, w.Body)
		}
	}
	db, err := s.store.database("db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.release()
	err = db.view(func(v view) error {
		for _, name := range [][]byte{bucketChunks, bucketUploads} {
			if k, _ := v.bucket(name).Cursor().First(); k != nil {
				t.Errorf("bucket %s still holds %x", name, k)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReopenDiscardsUploads leaves an upload unfinished, as a crash would.
func TestReopenDiscardsUploads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	db, err := s.create("db")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.upload(&attachment{}, &zeros{2 * uploadPiece}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := newServer(t, Options{Dir: dir})
	err = again.store.databases["db"].view(func(v view) error {
		if k, _ := v.bucket(bucketChunks).Cursor().First(); k != nil {
			t.Errorf("chunk %x is still there", k)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAttachmentHandling(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	rev := revisionOf(s.must(201, "PUT", "/db/d/a%2Fb.txt", "hello", "Content-Type: text/plain"))
	s.wants("hello", "GET", "/db/d/a/b.txt", "")
	second := s.put("/db/d", `{"_rev":"`+rev+`","x":1,"_attachments":{"a/b.txt":{"stub":true,"revpos":1},"n":{"data":"bmV3"}}}`)
	s.wants(`"n":{"content_type":"application/octet-stream","revpos":2,"digest":"md5-Iq9kXRhZy1ym2gxITx836g==","data":"bmV3"}`, "GET", "/db/d?attachments=true", "")
	s.wants(`"length":5,"stub":true},"n":{"content_type":"application/octet-stream","revpos":2,"digest":"md5-Iq9kXRhZy1ym2gxITx836g==","data":"bmV3"}`,
		"GET", `/db/d?atts_since=%5B%22`+rev+`%22%5D`, "")
	s.wants(`"missing_stub"`, "PUT", "/db/d", `{"_rev":"`+second+`","_attachments":{"a/b.txt":{"stub":true,"revpos":2}}}`)
	s.wants(`"missing_stub"`, "PUT", "/db/e", `{"_attachments":{"x":{"stub":true}}}`)
	third := revisionOf(s.must(200, "DELETE", "/db/d/n?rev="+second, ""))
	s.must(404, "GET", "/db/d/n", "")
	s.wants("new", "GET", "/db/d/n?rev="+second, "")
	s.must(404, "DELETE", "/db/d/n?rev="+third, "")
	s.must(409, "DELETE", "/db/d/n", "")
	s.must(404, "DELETE", "/db/none/n", "")
	s.must(416, "GET", "/db/d/a/b.txt", "", "Range: bytes=9-")
	s.must(200, "GET", "/db/d/a/b.txt", "", "Range: lines=1-")
	w := s.do("HEAD", "/db/d/a/b.txt", "")
	if w.Code != 200 || w.Header().Get("Content-Length") != "5" || w.Header().Get("ETag") != `"XUFAKrxLKna5cZ2REBfFkg=="` {
		t.Errorf("HEAD: %d %v", w.Code, w.Header())
	}
	s.must(304, "GET", "/db/d/a/b.txt", "", "If-None-Match: "+w.Header().Get("ETag"))
	s.must(400, "PUT", "/db/d/_x", "hello")
	s.must(400, "PUT", "/db/e", `{"_attachments":{"x":{"follows":true,"length":1}}}`)
	s.must(400, "PUT", "/db/e", `{"_attachments":{"x":{"data":""},"x":{"data":""}}}`)
}

func related(doc string, parts ...string) string {
	body := "--b\r\nContent-Type: application/json\r\n\r\n" + doc
	for _, p := range parts {
		body += "\r\n--b\r\n\r\n" + p
	}
	return body + "\r\n--b--"
}

func TestMultipartRelated(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	fmt.Fprint(zip, "unpacked")
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	doc := fmt.Sprintf(`{"_rev":"1-a","_attachments":{"f":{"follows":true,"length":3},"i":{"data":"aW4="},
		"g":{"follows":true,"length":8,"encoding":"gzip","encoded_length":%d}}}`, packed.Len())
	s.must(201, "PUT", "/db/d?new_edits=false", related(doc, "one", packed.String()), `Content-Type: multipart/related; boundary="b"`)
	for name, want := range map[string]string{"f": "one", "i": "in", "g": "unpacked"} {
		s.wants(want, "GET", "/db/d/"+name, "")
	}
	bad := []string{
		"", "--b", related(`{`), related(`[]`), related(`{"_attachments":{"f":{"follows":true,"length":3}}}`),
		related(`{"_attachments":{"f":{"follows":true,"length":4}}}`, "one"),
		related(`{"_attachments":{"f":{"follows":true,"encoding":"gzip"}}}`, "one"),
		strings.TrimSuffix(related(`{"_attachments":{"f":{"follows":true,"length":3}}}`, "one"), "\r\n--b--"),
	}
	for _, body := range bad {
		s.must(400, "PUT", "/db/x", body, `Content-Type: multipart/related; boundary="b"`)
	}
	mixed := s.must(200, "GET", "/db/d?open_revs=%5B%221-a%22,%222-b%22%5D", "", "Accept: multipart/mixed")
	for _, want := range []string{"multipart/related; boundary=", `filename="f"`, "\r\n\r\nunpacked\r\n", `error="true"`, `{"missing":"2-b"}`} {
		if !strings.Contains(mixed, want) {
			t.Errorf("no %s in %s", want, mixed)
		}
	}
}
