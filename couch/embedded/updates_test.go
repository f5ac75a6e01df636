package embedded

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// event is a row of _db_updates.
type event struct {
	Database string `json:"db_name"`
	Type     string
	Seq      string
}

func events(t *testing.T, text string) (got []string, last string) {
	t.Helper()
	for line := range strings.Lines(text) {
		var e event
		if line = strings.TrimRight(line, ",\r\n"); !strings.HasPrefix(line, `{"db_name"`) {
			continue
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got, last = append(got, e.Database+" "+e.Type), e.Seq
	}
	return got, last
}

func TestUpdates(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{Admin: "admin", Password: "secret"})
	admin := s.as("admin:secret")
	admin.must(201, "PUT", "/a", "")
	admin.put("/a/x", `{}`)
	admin.put("/a/y", `{}`)
	admin.must(201, "PUT", "/b", "")
	text := admin.must(200, "GET", "/_db_updates", "")
	var whole struct {
		Results []event
		LastSeq string `json:"last_seq"`
	}
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		t.Fatal(err)
	}
	got, last := events(t, text)
	if want := "_users created,a created,a updated,b created"; strings.Join(got, ",") != want || len(whole.Results) != 4 || whole.LastSeq != last {
		t.Errorf("got %v up to %s, want %s: %s", got, whole.LastSeq, want, text)
	}
	admin.must(200, "DELETE", "/a", "")
	if got, _ := events(t, admin.must(200, "GET", "/_db_updates?since="+last, "")); strings.Join(got, ",") != "a deleted" {
		t.Errorf("after that: %v", got)
	}
	if got, _ := events(t, admin.must(200, "GET", "/_db_updates?since=now", "")); got != nil {
		t.Errorf("after now: %v", got)
	}
	if got, _ := events(t, admin.must(200, "GET", "/_db_updates?since=3-of-another-life", "")); len(got) != 5 {
		t.Errorf("after a sequence of another life: %v", got)
	}
	if got, _ := events(t, admin.must(200, "GET", "/_db_updates?feed=longpoll&since="+last, "")); strings.Join(got, ",") != "a deleted" {
		t.Errorf("longpoll: %v", got)
	}
	admin.must(400, "GET", "/_db_updates?since=x", "")
	s.must(401, "GET", "/_db_updates", "")
}

func TestUpdatesFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := Open(Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		f := &follower{header: http.Header{}, cancel: cancel, done: make(chan struct{})}
		go func() {
			defer close(f.done)
			store.ServeHTTP(f, httptest.NewRequest("GET", "/_db_updates?feed=continuous&since=now&heartbeat=10000", nil).WithContext(ctx))
		}()
		synctest.Wait()
		if _, err := store.create("a"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got, _ := events(t, f.read()); strings.Join(got, ",") != "a created" {
			t.Errorf("got %v", got)
		}
		before := len(f.read())
		time.Sleep(25 * time.Second)
		if beats := len(f.read()) - before; beats != 2 {
			t.Errorf("%d heartbeats", beats)
		}
		if err := store.Close(); err != nil { // which ends the feed cleanly
			t.Error(err)
		}
		<-f.done
		cancel()
		if !strings.Contains(f.read(), `{"last_seq":"`) {
			t.Errorf("the feed ends without a sequence: %q", f.read())
		}
	})
}
