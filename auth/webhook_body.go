package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxWebhookCredentials bounds what a client can make the bridge send.
const maxWebhookCredentials = 64 << 10 // bytes

// webhookKey is the SHA-256 of a body without the previous grant: what is kept is told apart by everything that is sent.
type webhookKey [sha256.Size]byte

// body writes r down, see [Webhook], and what answers to it are kept under.
//
// Credentials are put in as they came, so they must be one JSON value: anything else could add members of its own.
func (o *WebhookOptions) body(r Request) ([]byte, webhookKey, error) {
	if err := checkWebhookRequest(r); err != nil {
		return nil, webhookKey{}, err
	}
	b := make([]byte, 0, 512+len(r.Credentials))
	b = append(b, '{')
	if r.Credentials != nil {
		b = append(b, `"credentials":`...)
		b = append(b, r.Credentials...)
		b = append(b, ',')
	}
	var remote string
	if r.RemoteAddr.Addr().IsValid() {
		remote = r.RemoteAddr.Addr().Unmap().String() // a port would make each connection another client
	}
	b = appendMember(b, `"database":`, r.Database)
	b = appendMember(b, `,"remote_addr":`, remote)
	b = appendMember(b, `,"origin":`, r.Origin)
	b = appendMember(b, `,"dialect":`, r.Dialect)
	b = strconv.AppendBool(append(b, `,"tls":`...), r.TLS)
	b = appendTexts(b, `,"headers":`, headersOf(r))
	b = appendTexts(b, `,"cookies":`, o.cookiesOf(r))
	key := sha256.Sum256(b)
	if r.Previous != nil {
		b = appendPrevious(b, *r.Previous)
	}
	return append(b, '}'), key, nil
}

func checkWebhookRequest(r Request) error {
	switch credentials := jsontext.Value(r.Credentials); {
	case len(credentials) > maxWebhookCredentials:
		return &Refusal{Code: Unauthorized, Message: "the credentials are too long", Err: fmt.Errorf("credentials have %d bytes", len(credentials))}
	case credentials != nil && !credentials.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)):
		return &Refusal{Code: Unauthorized, Err: errors.New("credentials are not one JSON value")}
	case !utf8.ValidString(r.Database):
		return &Refusal{Code: NotFound, Err: errors.New("database name is not UTF-8")}
	}
	return nil
}

// headersOf joins the lines of a header by commas, as RFC 9110, section 5.3, says they mean the same. Cookies have a list of
// their own.
func headersOf(r Request) map[string]string {
	headers := map[string]string{}
	for name, lines := range r.Header {
		if name = http.CanonicalHeaderKey(name); name != "Cookie" {
			headers[name] = strings.Join(lines, ", ")
		}
	}
	return headers
}

// cookiesOf are those that are passed on. Without an origin, all of which the bridge has checked, there are none: a browser
// sends them whatever page it shows. The origin "null", which every page can get itself, is none. Of cookies of one name the
// first counts, which is the one of the longest path (RFC 6265, section 5.4).
func (o *WebhookOptions) cookiesOf(r Request) map[string]string {
	cookies := map[string]string{}
	if r.Origin == "" || r.Origin == "null" {
		return cookies
	}
	for _, c := range r.Cookies {
		if _, twice := cookies[c.Name]; !twice && slices.Contains(o.Cookies, c.Name) {
			cookies[c.Name] = c.Value
		}
	}
	return cookies
}

// appendPrevious tells what the endpoint may know of its earlier answer: nothing secret.
func appendPrevious(b []byte, g Grant) []byte {
	b = appendMember(b, `,"previous":{"upstream":`, g.Upstream)
	b = appendMember(b, `,"database":`, g.Database)
	b = appendMember(b, `,"access":`, g.Access.String())
	b = appendMember(b, `,"subject":`, g.Subject)
	b = appendMember(b, `,"token_id":`, g.TokenID)
	if !g.Expires.IsZero() {
		b = appendMember(b, `,"expires":`, g.Expires.UTC().Format(time.RFC3339))
	}
	return append(b, '}')
}

// appendTexts appends an object, in the order of its names: equal requests have equal bodies.
func appendTexts(b []byte, name string, texts map[string]string) []byte {
	b = append(append(b, name...), '{')
	for i, key := range slices.Sorted(maps.Keys(texts)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMember(appendText(b, key), ":", texts[key])
	}
	return append(b, '}')
}

func appendMember(b []byte, name, text string) []byte {
	return appendText(append(b, name...), text)
}

// appendText quotes text. Bytes of a header that are not UTF-8 become U+FFFD, the replacement character.
func appendText(b []byte, text string) []byte {
	b, _ = jsontext.AppendQuote(b, text) // the error is about those bytes
	return b
}

// sign returns the value of the signature's header for a body sent at a time.
func sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
