package couch_test

import (
	"os"
	"testing"
)

func liveURL(t *testing.T) string {
	t.Helper()
	return os.Getenv("COUCHDB_URL")
}
