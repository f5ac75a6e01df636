package embedded

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"slices"
	"strconv"
	"strings"
)

const (
	usersDatabase      = "_users"
	replicatorDatabase = "_replicator"
	userPrefix         = "org.couchdb.user:"
)

// account is what a document of _users says about its user.
type account struct {
	roles      []string
	salt       string
	derivedKey string
	prf        string
	iterations int64
}

// account reads a user. An unknown user gets errCredentials.
func (s *Store) account(name string) (account, error) {
	db, err := s.database(usersDatabase)
	if err != nil {
		return account{}, errCredentials
	}
	defer db.release()
	d, err := db.winner(userPrefix + name)
	if err != nil || d.deleted {
		return account{}, errCredentials
	}
	body := d.object()
	a := account{}
	if scheme, _ := stringValue(field(body, "password_scheme")); scheme != "pbkdf2" {
		return account{}, errCredentials
	}
	a.roles, _ = stringList(field(body, "roles"))
	a.roles = append([]string{}, a.roles...)
	a.salt, _ = stringValue(field(body, "salt"))
	a.derivedKey, _ = stringValue(field(body, "derived_key"))
	a.prf, _ = stringValue(field(body, "pbkdf2_prf"))
	a.iterations, _ = integerValue(field(body, "iterations"))
	return a, nil
}

func (a account) matches(password string) bool {
	want, err := hex.DecodeString(a.derivedKey)
	if err != nil || len(want) == 0 || a.iterations < 1 {
		return false
	}
	prf, ok := prfs[a.prf]
	if !ok {
		return false
	}
	got, err := pbkdf2.Key(prf, password, []byte(a.salt), int(a.iterations), len(want))
	return err == nil && subtle.ConstantTimeCompare(got, want) == 1
}

// prfs are CouchDB's names of hash functions. Users of CouchDB before 3.4 name none.
var prfs = map[string]func() hash.Hash{
	"": sha1.New, "sha": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

// passwordMembers are replaced when a document of _users brings a password.
var passwordMembers = set("password", "password_scheme", "pbkdf2_prf", "salt", "iterations", "derived_key",
	"password_sha", "preserve_salt")

// hashPassword replaces, in a document of _users, a clear password by its derived key (couch_users_db:save_doc/1).
func (o *Options) hashPassword(d *document) error {
	body := d.object()
	given := field(body, "password")
	if given == nil || given.Kind() == 'n' {
		return nil
	}
	password, ok := stringValue(given)
	if !ok {
		return forbidden("doc.password must be a string.")
	}
	salt := o.NewUUID()
	key, err := pbkdf2.Key(sha256.New, password, []byte(salt), o.PasswordIterations, sha256.Size)
	if err != nil {
		return err
	}
	out := []byte(`"password_scheme":"pbkdf2","pbkdf2_prf":"sha256","salt":"` + salt + `","iterations":` +
		strconv.Itoa(o.PasswordIterations) + `,"derived_key":"` + hex.EncodeToString(key) + `"`)
	err = members(body, func(m member) error {
		if !passwordMembers[m.name] {
			out = append(append(out, ','), m.raw...)
		}
		return nil
	})
	d.body = out
	return err
}

// checkUser applies the rules of CouchDB's built-in _design/_auth. old is nil for a new user.
func (u *updater) checkUser(d, old *document) *failure {
	if d.isDesign() || d.deleted {
		return nil
	}
	body := d.object()
	name, hasName := stringValue(field(body, "name"))
	roles, hasRoles := stringList(field(body, "roles"))
	kind, _ := stringValue(field(body, "type"))
	switch {
	case kind != "user":
		return forbidden("doc.type must be user")
	case !hasName:
		return forbidden("doc.name is required")
	case field(body, "roles") == nil:
		return forbidden("doc.roles must exist")
	case !hasRoles:
		return forbidden("doc.roles must be an array of strings")
	case d.id != userPrefix+name:
		return forbidden("Doc ID must be of the form org.couchdb.user:name")
	case slices.ContainsFunc(roles, func(r string) bool { return strings.HasPrefix(r, "_") }):
		return forbidden("No system roles (starting with underscore) in users db.")
	case u.user.isServerAdmin():
		return nil
	case old == nil:
		return forbidden("Only _admin may create users")
	}
	before, _ := stringList(field(old.object(), "roles"))
	slices.Sort(before)
	slices.Sort(roles)
	if !slices.Equal(before, roles) {
		return forbidden("Only _admin may set roles")
	}
	return nil
}

// ownsUserDocument tells whether the path is the client's own document of _users, which it may read and write although
// it is no member of the database.
func (r *request) ownsUserDocument() bool {
	if r.db.name != usersDatabase || r.user.name == "" {
		return false
	}
	id, _ := r.documentPath()
	return id == userPrefix+r.user.name
}
