package auth

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestIdentityValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		id    Identity
		fault string
	}{
		{"service account", Identity{}, ""},
		{"service account with a secret", Identity{Secret: "x"}, "service account has"},
		{"proxy user", Identity{Kind: ProxyUser, Name: "alice", Roles: []string{"staff"}}, ""},
		{"proxy user without a name", Identity{Kind: ProxyUser}, "needs a name"},
		{"role that would be two", Identity{Kind: ProxyUser, Name: "alice", Roles: []string{"a,_admin"}}, "with a comma"},
		{"user", Identity{Kind: Basic, Name: "alice", Secret: "pw"}, ""},
		{"user without a password", Identity{Kind: Basic, Name: "alice"}, "needs a name and a password"},
		{"cookie", Identity{Kind: Cookie, Secret: "x"}, ""},
		{"empty cookie", Identity{Kind: Cookie}, "is empty"},
		{"empty token", Identity{Kind: Bearer}, "is empty"},
		{"unknown", Identity{Kind: 99}, "unknown kind"},
	} {
		err := tt.id.validate()
		if tt.fault == "" && err != nil || tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.fault)
		}
	}
}

func TestIdentityHidesItsSecret(t *testing.T) {
	t.Parallel()
	for _, kind := range []IdentityKind{ServiceAccount, ProxyUser, Bearer, Basic, Cookie} {
		id := Identity{Kind: kind, Name: "alice", Secret: "hush"}
		asJSON, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		for _, printed := range []string{id.String(), fmt.Sprintf("%v %+v %#v %s %q", id, id, id, id, id), string(asJSON), fmt.Sprintf("%+v", Grant{Identity: id})} {
			if strings.Contains(printed, "hush") {
				t.Errorf("kind %d prints its secret: %s", kind, printed)
			}
		}
	}
}
