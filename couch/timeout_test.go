package couch

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestTimeout has answers that fall silent: before the headers, in the middle, and in the body of an error.
func TestTimeout(t *testing.T) {
	t.Parallel()
	slow := []piece{{50 * time.Second, `{"a":`}, {50 * time.Second, `1`}, {50 * time.Second, `}`}}
	for _, test := range []struct {
		name   string
		script script
		took   time.Duration
		want   string // "": silence
	}{
		{"slow but never silent", script{status: 200, pieces: slow}, 150 * time.Second, `{"a":1}`},
		{"silent in the body", script{status: 200, pieces: slow[:2], hang: true}, 160 * time.Second, ""},
		{"silent in an error", script{status: 500, hang: true}, 60 * time.Second, "couch: GET document: 500 internal_server_error: not an answer of CouchDB (application/json)"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := test.script
			s.pieces = slices.Clone(s.pieces)
			u := &upstream{t: t, scripts: []script{s}}
			start := time.Now()
			v, err := u.database(Options{}).Get(t.Context(), "a", GetOptions{})
			got := string(v)
			if err != nil {
				got = err.Error()
			}
			silent := test.want == "" && errors.Is(err, errSilent)
			if !silent && got != test.want || err != nil && !Transient(err) || time.Since(start) != test.took {
				t.Errorf("%s: %s after %v", test.name, got, time.Since(start))
			}
		})
	}
}

// TestFilterTimeout has a filter that lets nothing pass for five minutes, of which CouchDB gives no sign.
func TestFilterTimeout(t *testing.T) {
	t.Parallel()
	for _, o := range []ChangesOptions{{Filter: "a/b"}, {View: "a/b"}, {Selector: value(`{}`)}, {}} {
		synctest.Test(t, func(t *testing.T) {
			u := &upstream{t: t, scripts: []script{{status: 200, pieces: []piece{{5 * time.Minute, `{"results":[],"last_seq":1}`}}}}}
			changes, err := u.database(Options{}).Changes(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = changes.Next()
			if filtered := o.Filter+o.View != "" || o.Selector != nil; filtered != (err == io.EOF) || !filtered && !Transient(err) {
				t.Errorf("%+v: %v", o, err)
			}
		})
	}
}

// TestUploadTimeout sends a body whose source is slow, to a server that takes it and then says nothing.
func TestUploadTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := New("http://couch.test", Options{HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return nil, err
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		body := &scriptBody{ctx: t.Context(), up: &upstream{}, script: script{pieces: []piece{{time.Hour, "a"}, {time.Hour, "b"}}}}
		_, err = mustDatabase(t, c, "db").PutAttachment(t.Context(), "a", "b", "", "", 2, body)
		if d := time.Since(start); !errors.Is(err, errSilent) || !Transient(err) || d != 2*time.Hour+time.Minute {
			t.Errorf("%v after %v", err, d)
		}
	})
}
