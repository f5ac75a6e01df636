package auth

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxRefusalAge     = 5 * time.Second
	maxRefusalMessage = 300 // bytes
)

// statusCodes are the refusals that a status says.
var statusCodes = map[int]Code{
	http.StatusUnauthorized: Unauthorized,
	http.StatusForbidden:    Forbidden,
	http.StatusNotFound:     NotFound,
}

// judge says what an answer means, and for how long.
func (o *WebhookOptions) judge(a webhookAnswer) decision {
	var v decision
	if code, refused := statusCodes[a.status]; refused {
		v.err = &Refusal{Code: code, Message: a.message(), Err: fmt.Errorf("endpoint answered %d", a.status)}
	} else {
		v.grant, v.err = a.decide()
	}
	v.keep = min(maxAge(a.header), o.MaxAge)
	switch {
	case v.err != nil && isFailure(v.err), v.grant.Identity.Secret != "":
		v.keep = 0
	case v.err != nil:
		v.keep = min(v.keep, maxRefusalAge)
	case !v.grant.Expires.IsZero():
		v.keep = min(v.keep, time.Until(v.grant.Expires))
	}
	return v
}

// isFailure tells an error that decides nothing from a refusal.
func isFailure(err error) bool {
	var r *Refusal
	return !errors.As(err, &r)
}

// decision reads an answer that is none of statusCodes.
func (a webhookAnswer) decide() (Grant, error) {
	switch {
	case 300 <= a.status && a.status < 400:
		return Grant{}, fmt.Errorf("answered %d: redirects are not followed, configure the URL that is meant", a.status)
	case a.status != http.StatusOK:
		return Grant{}, fmt.Errorf("answered %d", a.status)
	case len(a.body) > maxAnswer:
		return Grant{}, fmt.Errorf("answered more than %d bytes", maxAnswer)
	case !a.isJSON():
		return Grant{}, errors.New("answered 200 with a Content-Type that is not application/json")
	}
	g, err := parseDecision(a.body)
	if err == nil && !g.Expires.IsZero() && !time.Now().Before(g.Expires) {
		return Grant{}, fmt.Errorf("answered with a grant that expired at %s", g.Expires.Format(time.RFC3339))
	}
	return g, err
}

func (a webhookAnswer) isJSON() bool {
	kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// message is that of a refusal by status, {"message": "…"} with whatever else beside it.
func (a webhookAnswer) message() string {
	var body struct {
		Message string `json:"message"`
	}
	if len(a.body) > maxAnswer || !a.isJSON() || json.Unmarshal(a.body, &body) != nil {
		return ""
	}
	return userMessage(body.Message)
}

// userMessage is text if a user can be shown it; empty, which stands for a plain sentence, if not.
func userMessage(text string) string {
	if len(text) > maxRefusalMessage || hasControlCharacter(text) {
		return ""
	}
	return text
}

// decisionParser reads a grant, or what stands in its place.
type decisionParser struct {
	grantParser
	err error // a refusal or an abstention
}

// parseDecision reads what an answer says. A refusal or abstention comes alone: beside a grant, it would be for us to guess
// which is meant.
func parseDecision(text []byte) (Grant, error) {
	var p decisionParser
	v, ok := p.answer(text)
	switch {
	case ok && hasMember(v, "refuse", "abstain"):
		given := p.object("answer", v, members{"refuse": p.refuse, "abstain": p.abstain})
		if len(given) > 1 {
			p.fault("answer", "must have either refuse or abstain, and nothing else")
		}
	case ok:
		p.grant("grant", v)
	}
	if len(p.faults) > 0 {
		return Grant{}, &GrantError{Faults: p.faults}
	}
	return p.g, p.err
}

func (p *decisionParser) refuse(place string, v jsontext.Value) {
	var code, message string
	if p.object(place, v, members{"code": p.text(&code), "message": p.text(&message)}) == nil {
		return
	}
	if _, known := defaultMessages[Code(code)]; !known {
		p.fault(place+".code", "must be unauthorized, forbidden, not_found or unavailable")
	}
	p.err = &Refusal{Code: Code(code), Message: userMessage(message)}
}

func (p *decisionParser) abstain(place string, v jsontext.Value) {
	if v.Kind() != jsontext.KindTrue {
		p.fault(place, "must be true, is "+kindNames[v.Kind()])
	}
	p.err = Abstain
}

// hasMember tells whether v is an object that has one of the names.
func hasMember(v jsontext.Value, names ...string) bool {
	if v.Kind() != jsontext.KindBeginObject {
		return false
	}
	for d := inside(v); d.PeekKind() != jsontext.KindEndObject; {
		token, _ := d.ReadToken()
		name := token.String()
		_ = d.SkipValue()
		for _, n := range names {
			if n == name {
				return true
			}
		}
	}
	return false
}

// maxAge reads Cache-Control, RFC 9111, section 5.2.2. What cannot be read allows nothing.
func maxAge(h http.Header) time.Duration {
	age := time.Duration(-1)
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			seconds, err := strconv.ParseUint(value, 10, 31)
			if err != nil || age >= 0 {
				return 0 // malformed, or given twice
			}
			age = time.Duration(seconds) * time.Second
		}
	}
	return max(age, 0)
}
