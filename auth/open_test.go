package auth

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		database string
		code     Code // empty: granted under the name asked for
	}{
		{"todos", ""},
		{"a/b", ""},
		{"Todos", ""},                  // names like this and the next ones are refused where names are
		{"../_users", ""},              // validated, in package couch: Open decides about rights, not about names
		{"%2f_users", ""},              //
		{strings.Repeat("a", 300), ""}, //
		{"", NotFound},
		{"_users", Forbidden},
		{"_replicator", Forbidden},
		{"_global_changes", Forbidden},
		{"_", Forbidden},
		{"_made_up", Forbidden},
	} {
		d := NewDecider(Open{}, time.Minute)
		g, err := d.Decide(t.Context(), Request{Database: tt.database})
		if tt.code != "" {
			if r := refusal(t, err); r.Code != tt.code || !reflect.DeepEqual(g, Grant{}) {
				t.Errorf("Open on %q: %+v, %s; want %s", tt.database, g, r.Code, tt.code)
			}
			continue
		}
		if want := (Grant{Database: tt.database, Access: ReadWrite, DesignDocs: true, Create: &Creation{}}); err != nil || !reflect.DeepEqual(g, want) {
			t.Errorf("Open on %q: %+v, %v; want %+v", tt.database, g, err, want)
		}
	}
}
