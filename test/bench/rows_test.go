package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Answers are what CouchDB would send, whatever the number of rows is.
func TestRows(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{1, 5, rowsInChunk, blockRows - 1, blockRows, blockRows + 1, 2*blockRows + 7} {
		s, err := openRows(rows)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Results []struct{ ID string }
			LastSeq string `json:"last_seq"`
		}
		if err := json.Unmarshal([]byte(body(t, s, "")), &answer); err != nil || len(answer.Results) != rows || answer.LastSeq == "" {
			t.Errorf("%d rows: %d came, and then %q, %v", rows, len(answer.Results), answer.LastSeq, err)
		}
		lines := strings.Split(strings.TrimSpace(body(t, s, "?feed=continuous")), "\n")
		for _, line := range lines {
			if !json.Valid([]byte(line)) {
				t.Fatalf("%d rows: the line %q", rows, line)
			}
		}
		if last := lines[len(lines)-1]; len(lines) != rows+1 || !strings.HasPrefix(last, `{"last_seq":`) {
			t.Errorf("%d rows: %d lines, the last %s", rows, len(lines), last)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
}

func body(t *testing.T, s *rowsServer, query string) string {
	t.Helper()
	response, err := s.web.Get(s.url + "/bench/_changes" + query)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response.Status, err)
	}
	return string(text)
}
