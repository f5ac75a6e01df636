package embedded

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// userContext is who a request comes from.
type userContext struct {
	name  string // empty: anonymous
	roles []string
	by    string // authentication handler: "cookie", "default" or ""
}

const adminRole = "_admin"

func (u userContext) isServerAdmin() bool { return slices.Contains(u.roles, adminRole) }

// appendMembers adds "name" and "roles" as _session and validation functions show them.
func (u userContext) appendMembers(dst []byte) []byte {
	dst = append(dst, `"name":`...)
	if u.name == "" {
		dst = append(dst, "null"...)
	} else {
		dst = appendString(dst, u.name)
	}
	return appendStrings(append(dst, `,"roles":`...), u.roles)
}

// authenticate identifies the client by session cookie or Basic credentials. In admin party everyone is admin.
func (s *Store) authenticate(r *http.Request) (userContext, error) {
	if name, password, ok := r.BasicAuth(); ok {
		user, err := s.login(name, password)
		user.by = "default"
		return user, err
	}
	if cookie, err := r.Cookie(sessionCookie); err == nil && cookie.Value != "" {
		if user, ok, err := s.cookieUser(cookie.Value); ok || err != nil {
			return user, err
		}
	}
	if s.options.Admin == "" {
		return userContext{roles: []string{adminRole}, by: "default"}, nil
	}
	return userContext{roles: []string{}}, nil
}

// login checks a name and a password against the admin and the users of _users.
func (s *Store) login(name, password string) (userContext, error) {
	if s.options.Admin != "" && name == s.options.Admin {
		if subtle.ConstantTimeCompare([]byte(password), []byte(s.options.Password)) == 1 {
			return userContext{name: name, roles: []string{adminRole}}, nil
		}
		return userContext{}, errCredentials
	}
	account, err := s.account(name)
	if err != nil {
		return userContext{}, err
	}
	if !account.matches(password) {
		return userContext{}, errCredentials
	}
	return userContext{name: name, roles: account.roles}, nil
}

const sessionCookie = "AuthSession"

// cookieToken signs name and time with the store's secret and the user's salt, so that a new password ends sessions.
// CouchDB's cookie has the same parts, https://docs.couchdb.org/en/stable/api/server/authn.html#cookie-authentication.
func (s *Store) cookieToken(name string, at time.Time, salt string) string {
	signed := name + ":" + strings.ToUpper(strconv.FormatInt(at.Unix(), 16))
	mac := hmac.New(sha256.New, append(slices.Clone(s.secret), salt...))
	mac.Write([]byte(signed))
	return base64.RawURLEncoding.EncodeToString([]byte(signed + ":" + hex.EncodeToString(mac.Sum(nil))))
}

// errCookie is CouchDB's answer to a cookie that is no session cookie at all.
var errCookie = badRequest("Malformed AuthSession cookie. Please clear your cookies.")

// cookieUser checks a session cookie. One that is forged, expired or of a removed user counts as none.
func (s *Store) cookieUser(token string) (user userContext, ok bool, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return user, false, errCookie
	}
	signed, _, _ := cutLast(string(raw), ':')
	name, stamp, found := cutLast(signed, ':')
	seconds, err := strconv.ParseInt(stamp, 16, 64)
	if !found || err != nil {
		return user, false, errCookie
	}
	owner, salt, err := s.cookieOwner(name)
	at := time.Unix(seconds, 0)
	if err != nil || !hmac.Equal([]byte(token), []byte(s.cookieToken(name, at, salt))) ||
		!s.options.Now().Before(at.Add(s.options.SessionTimeout)) {
		return user, false, nil
	}
	owner.by = "cookie"
	return owner, true, nil
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func (s *Store) cookieOwner(name string) (user userContext, salt string, err error) {
	if s.options.Admin != "" && name == s.options.Admin {
		return userContext{name: name, roles: []string{adminRole}}, s.options.Password, nil
	}
	account, err := s.account(name)
	return userContext{name: name, roles: account.roles}, account.salt, err
}

// securityDoc is a database's _security object.
type securityDoc struct {
	raw             jsontext.Value
	admins, members principals
}

// principals are names and roles that are let in.
type principals struct{ names, roles []string }

func (p principals) include(u userContext) bool {
	for _, role := range u.roles {
		if role == adminRole || slices.Contains(p.roles, role) {
			return true
		}
	}
	return u.name != "" && slices.Contains(p.names, u.name)
}

func parseSecurity(raw jsontext.Value) securityDoc {
	read := func(name string) principals {
		v := field(raw, name)
		names, _ := stringList(field(v, "names"))
		roles, _ := stringList(field(v, "roles"))
		return principals{names, roles}
	}
	return securityDoc{raw, read("admins"), read("members")}
}

func (s securityDoc) isAdmin(u userContext) bool { return s.admins.include(u) }

// isMember applies couch_db:is_member/1: without any member named, everyone is one.
func (s securityDoc) isMember(u userContext) bool {
	return s.isAdmin(u) || len(s.members.names)+len(s.members.roles) == 0 || s.members.include(u)
}

// checkMember lets in whom the database's _security lets in. Users reach their own document of _users.
func (r *request) checkMember() error {
	raw, err := r.db.security()
	if err != nil {
		return err
	}
	r.secured = parseSecurity(raw)
	if r.secured.isMember(r.user) || r.ownsUserDocument() {
		return nil
	}
	if r.user.name == "" {
		return unauthorized("You are not authorized to access this db.")
	}
	return forbidden("You are not allowed to access this db.")
}

// checkAdmin requires an admin of the database.
func (s securityDoc) checkAdmin(u userContext) *failure {
	if s.isAdmin(u) {
		return nil
	}
	if u.name == "" {
		return unauthorized("You are not a db or server admin.")
	}
	return forbidden("You are not a db or server admin.")
}
