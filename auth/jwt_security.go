package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// securityTemplate makes a _security object of claims. See [JWTOptions.Security].
type securityTemplate struct {
	tokens []jsontext.Token
	places map[int]namePart // by index of the token whose place a claim takes
}

// parseSecurityTemplate reads a template, or says what is wrong with it.
func parseSecurityTemplate(text json.RawMessage) (*securityTemplate, error) {
	t := &securityTemplate{places: map[int]namePart{}}
	d := jsontext.NewDecoder(bytes.NewReader(text))
	if d.PeekKind() != jsontext.KindBeginObject {
		return nil, errors.New("must be a JSON object")
	}
	for ended := false; !ended; ended = d.StackDepth() == 0 {
		token, err := d.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
		if err := t.add(token.Clone(), isMemberName(d)); err != nil {
			return nil, err
		}
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, errors.New("has more text after the JSON object")
	}
	return t, nil
}

// isMemberName tells whether the token just read is the name of an object's member.
func isMemberName(d *jsontext.Decoder) bool {
	kind, n := d.StackIndex(d.StackDepth())
	return kind == jsontext.KindBeginObject && n%2 == 1
}

func (t *securityTemplate) add(token jsontext.Token, name bool) error {
	if token.Kind() == jsontext.KindString && !name && strings.Contains(token.String(), "{") {
		place, open := strings.CutPrefix(token.String(), "{")
		place, closed := strings.CutSuffix(place, "}")
		p, err := parsePlace(place)
		if !open || !closed || err != nil || p.kind == askedPart {
			return fmt.Errorf("%q: a string with a brace must be {claim C} or {hex C} and nothing else", token.String())
		}
		t.places[len(t.tokens)] = p
	}
	t.tokens = append(t.tokens, token)
	return nil
}

// expand makes the object. A claim becomes one string, whatever is in it.
func (t *securityTemplate) expand(c tokenClaims) (json.RawMessage, error) {
	var b bytes.Buffer
	e := jsontext.NewEncoder(&b)
	for i, token := range t.tokens {
		if p, ok := t.places[i]; ok {
			text, err := p.claim(c)
			if err != nil {
				return nil, err
			}
			token = jsontext.String(text)
		}
		if err := e.WriteToken(token); err != nil {
			return nil, err
		}
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
