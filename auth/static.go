package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	stdjson "encoding/json"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json"
)

// Static grants what a file says about the token in the credentials, which are {"token": "…"}; other members of the
// credentials are ignored. [ParseStatic] makes one. It never changes.
type Static struct {
	holders []holder
}

// holder is whoever has one token.
type holder struct {
	token     [sha256.Size]byte // the hash is all that is kept
	id        string
	subject   string
	databases []rule // the first that matches decides
}

// rule opens the databases whose name matches.
type rule struct {
	match    pattern
	database pattern // the star's text comes from match
	grant    Grant   // without Database, System, Subject and TokenID
}

// OnRequest grants the database by the first entry of the token whose pattern matches the name asked for. It abstains if
// there is no token, or none of the file: another policy of a [Chain] may know it. The words are for when none does.
func (s *Static) OnRequest(_ context.Context, r Request) (Grant, error) {
	token, ok := tokenOf(r.Credentials)
	if !ok {
		return Grant{}, &Refusal{Code: Unauthorized, Message: `a token is required: send the credentials {"token": "…"}`, Err: Abstain}
	}
	h := s.holder(token)
	if h == nil {
		return Grant{}, &Refusal{Code: Unauthorized, Message: "unknown token", Err: Abstain}
	}
	if g, ok := h.open(r.Database); ok {
		return g, nil
	}
	return Grant{}, &Refusal{Code: Forbidden, Message: "this token does not open the database asked for"}
}

// holder finds a token's holder. It compares with every hash in constant time, so that how long it takes says nothing
// about the tokens.
func (s *Static) holder(token string) *holder {
	sum := sha256.Sum256([]byte(token))
	found := -1
	for i := range s.holders {
		equal := subtle.ConstantTimeCompare(sum[:], s.holders[i].token[:])
		found = subtle.ConstantTimeSelect(equal, i, found)
	}
	if found < 0 {
		return nil
	}
	return &s.holders[found]
}

// open grants name by the first rule that matches. A system database needs a rule that names it without a star.
func (h *holder) open(name string) (Grant, bool) {
	for _, r := range h.databases {
		stem, ok := r.match.match(name)
		if !ok {
			continue
		}
		g := r.grant
		g.Database, g.Subject, g.TokenID = r.database.expand(stem), h.subject, h.id
		g.System = IsSystem(g.Database)
		if g.System && r.match.star {
			return Grant{}, false
		}
		return g, true
	}
	return Grant{}, false
}

// changed are the ids of the tokens of s that are gone in next, or open something else there.
func (s *Static) changed(next *Static) []string {
	var ids []string
	for _, h := range s.holders {
		if !slices.ContainsFunc(next.holders, func(n holder) bool { return reflect.DeepEqual(n, h) }) {
			ids = append(ids, h.id)
		}
	}
	return ids
}

// tokenOf reads credentials of the form {"token": "…"}. An empty token is none.
func tokenOf(credentials stdjson.RawMessage) (string, bool) {
	var c struct {
		Token string `json:"token"`
	}
	// This decoder, unlike the standard one, refuses a member given twice and takes no "Token" for "token".
	if err := json.Unmarshal(credentials, &c); err != nil {
		return "", false
	}
	return c.Token, c.Token != ""
}
