package auth

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

func (p *grantParser) upstream(place string, v jsontext.Value) {
	p.text(&p.g.Upstream)(place, v)
	if strings.ContainsFunc(p.g.Upstream, notInServerName) {
		p.fault(place, "must be the name of a configured server: a URL or address is not accepted")
	}
}

// notInServerName tells whether c makes a text look like a URL or an address.
func notInServerName(c rune) bool {
	return strings.ContainsRune(`/\:@?#%[]`, c) || unicode.IsSpace(c) || unicode.IsControl(c)
}

func (p *grantParser) access(place string, v jsontext.Value) {
	var name string
	p.text(&name)(place, v)
	for _, a := range []Access{ReadOnly, ReadWrite, WriteOnly} {
		if name == a.String() {
			p.g.Access = a
			return
		}
	}
	p.fault(place, "must be read-write, read-only or write-only")
}

// latestExpiry is the last second of the year 9999. The time now in milliseconds, a common slip, lies far beyond.
const latestExpiry = 253402300799

func (p *grantParser) expires(place string, v jsontext.Value) {
	var seconds float64
	switch v.Kind() {
	case jsontext.KindNumber:
		seconds, _ = strconv.ParseFloat(string(v), 64) // out of range is ±Inf
	case jsontext.KindString:
		var text string
		p.text(&text)(place, v)
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			p.fault(place, "must be a time like 2026-09-21T14:13:20Z")
			return
		}
		seconds = float64(t.Unix())
	default:
		p.fault(place, "must be a number or a string, is "+kindNames[v.Kind()])
		return
	}
	if seconds < 1 || seconds > latestExpiry { // zero would mean never
		p.fault(place, "must lie between 1970 and 9999 (a number counts seconds)")
		return
	}
	p.g.Expires = time.Unix(int64(math.Floor(seconds)), 0).UTC()
}

func (p *grantParser) create(place string, v jsontext.Value) {
	switch v.Kind() {
	case jsontext.KindFalse:
	case jsontext.KindTrue:
		p.g.Create = &Creation{}
	case jsontext.KindBeginObject:
		c := &Creation{}
		p.object(place, v, members{
			"security": p.rawObject((*jsontext.Value)(&c.Security)),
			"q":        p.count(&c.Q),
			"n":        p.count(&c.N),
		})
		p.g.Create = c
	default:
		p.fault(place, "must be true, false or an object, is "+kindNames[v.Kind()])
	}
}

func (p *grantParser) filter(place string, v jsontext.Value) {
	f := &p.g.Filter
	given := p.object(place, v, members{
		"name":  p.text(&f.Name),
		"query": p.query,
	})
	if given == nil {
		return
	}
	ddoc, name, _ := strings.Cut(f.Name, "/")
	if ddoc == "" || name == "" || strings.Contains(name, "/") {
		p.fault(place+".name", `must be a design document and its filter function, "ddoc/name"`)
	}
}

func (p *grantParser) query(place string, v jsontext.Value) {
	if !p.kind(place, v, jsontext.KindBeginObject) {
		return
	}
	query := map[string]string{}
	for d := inside(v); d.PeekKind() != jsontext.KindEndObject; {
		token, _ := d.ReadToken()
		name := token.String()
		content, _ := d.ReadValue()
		at := fmt.Sprintf("%s[%q]", place, name)
		if _, twice := query[name]; twice {
			p.fault(at, "is given twice")
		}
		var text string
		p.text(&text)(at, content.Clone())
		query[name] = text
	}
	p.g.Filter.Query = query
}

func (p *grantParser) identity(place string, v jsontext.Value) {
	id := &p.g.Identity
	given := p.object(place, v, members{
		"proxy": func(place string, v jsontext.Value) {
			id.Kind = ProxyUser
			p.object(place, v, members{"name": p.plainText(&id.Name), "roles": p.roles})
		},
		"bearer": func(place string, v jsontext.Value) {
			id.Kind = Bearer
			p.plainText(&id.Secret)(place, v)
		},
		"basic": func(place string, v jsontext.Value) {
			id.Kind = Basic
			p.object(place, v, members{"name": p.plainText(&id.Name), "password": p.plainText(&id.Secret)})
		},
		"cookie": func(place string, v jsontext.Value) {
			id.Kind = Cookie
			p.plainText(&id.Secret)(place, v)
		},
	})
	if given != nil && len(given) != 1 {
		p.fault(place, "must have exactly one of proxy, bearer, basic and cookie")
	}
}

// roles reads the roles of a proxy user. CouchDB is sent them in one header, parted by commas: a comma in a role would
// make it two.
func (p *grantParser) roles(place string, v jsontext.Value) {
	if !p.kind(place, v, jsontext.KindBeginArray) {
		return
	}
	roles := []string{}
	p.elements(place, v, func(place string, v jsontext.Value) {
		var role string
		p.plainText(&role)(place, v)
		if strings.Contains(role, ",") || strings.TrimSpace(role) != role || role == "" {
			p.fault(place, "must be a role: not empty, without commas and without spaces around it")
		}
		roles = append(roles, role)
	})
	p.g.Identity.Roles = roles
}

// elements reads every element of an array, which may be empty.
func (p *grantParser) elements(place string, v jsontext.Value, element func(string, jsontext.Value)) {
	n := 0
	for d := inside(v); d.PeekKind() != jsontext.KindEndArray; n++ {
		content, _ := d.ReadValue()
		element(fmt.Sprintf("%s[%d]", place, n), content.Clone())
	}
}

// texts returns a reader of an array of strings, which must not be empty, and neither must they.
func (p *grantParser) texts(into *[]string) func(string, jsontext.Value) {
	return func(place string, v jsontext.Value) {
		p.array(place, v, func(place string, v jsontext.Value) {
			var text string
			p.text(&text)(place, v)
			if text == "" {
				p.fault(place, "must not be empty")
			}
			*into = append(*into, text)
		})
	}
}

// plainText returns a reader of a string that can stand in a header.
func (p *grantParser) plainText(into *string) func(string, jsontext.Value) {
	return func(place string, v jsontext.Value) {
		p.text(into)(place, v)
		if strings.ContainsFunc(*into, unicode.IsControl) {
			p.fault(place, "must not contain control characters")
		}
	}
}

// rawObject returns a reader of an object that CouchDB is to be sent as it stands. Members given twice are a fault within
// it too: which of them counts would be up to whoever reads it.
func (p *grantParser) rawObject(into *jsontext.Value) func(string, jsontext.Value) {
	return func(place string, v jsontext.Value) {
		switch {
		case !p.kind(place, v, jsontext.KindBeginObject):
		case !v.IsValid():
			p.fault(place, "has a member given twice")
		default:
			*into = v
		}
	}
}

// count returns a reader of a whole number from 1 on.
func (p *grantParser) count(into *int) func(string, jsontext.Value) {
	return func(place string, v jsontext.Value) {
		n, err := strconv.ParseUint(string(v), 10, 16)
		if err != nil || n == 0 {
			p.fault(place, "must be a whole number, 1 to 65535")
			return
		}
		*into = int(n)
	}
}
