package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// JWTOptions configures a [JWT] policy. Needed are a source of keys (Keys, Secret, JWKSURL, or several of them) and
// exactly one of Database and DatabasesClaim.
//
// A claim is named as it stands in the token ("tenant", "https://example.com/roles"); a name that is not there is read as
// a path with dots ("realm_access.roles").
type JWTOptions struct {
	// Keys is the text of public keys: one or more PEM blocks (PUBLIC KEY, RSA PUBLIC KEY, CERTIFICATE), or a JSON Web Key
	// Set. Every certificate counts as a key, for as long as it is here: give no chain, and mind no dates. A PEM block may
	// name its key in a header line, "kid: …". RSA keys have 2048 to 8192 bits.
	//
	// A token that names its key (kid) needs the key of that name, or one without a name; one that does not, the only key
	// for its algorithm. Beside a JWKSURL every key here needs a name.
	Keys []byte
	// Secret is the key of HS256, HS384 and HS512, at least 32 bytes as they are; one newline at the end is taken off.
	Secret []byte
	// JWKSURL is where the issuer publishes its JSON Web Key Set. It is fetched at the start, then every JWKSInterval, and,
	// at most every 10s, when a token names a key that is not known; after a failure every 10s. What is fetched replaces
	// what was there before; through an outage, however long, the old keys stay. As long as none was ever fetched, tokens
	// that need it are refused as unavailable. Symmetric keys in it are ignored, since a published secret is none.
	JWKSURL string
	// JWKSInterval is how long fetched keys are used before they are fetched again, at least 1m. Default 15m.
	JWKSInterval time.Duration
	// JWKSOverHTTP allows a JWKSURL with http, which otherwise must be https or a loopback address: whoever is between
	// the bridge and the issuer could replace the keys.
	JWKSOverHTTP bool
	// JWKSTransport makes the requests to JWKSURL. Default: one of its own, with the proxy of the environment.
	JWKSTransport http.RoundTripper
	// OnJWKS, if set, hears of every fetch, for logs and metrics: the number of usable keys of the answer and what was
	// wrong with others, or the error that left things as they were. Called from one goroutine.
	OnJWKS func(keys int, err error)

	// Algorithms are those that tokens may use, of HS256, RS256, PS256, ES256 and their like with 384 and 512, and EdDSA.
	// Each key takes only those of its type. Default: all.
	Algorithms []string
	// Issuer is what iss must be. Default: anything. Set it.
	Issuer string
	// Audience are the names of which aud must have one. Default: tokens with an aud are refused.
	Audience []string
	// Leeway is how far nbf and iat may lie in the future, for clocks that differ: at most 5m, negative for none.
	// Default 30s. It does not prolong exp, at which grants end.
	Leeway time.Duration

	// Database is the template of the upstream database's name: text, {claim C} for the text of the claim C, {hex C} for
	// the hexadecimal digits of its UTF-8 bytes (as couch_peruser names databases: "userdb-{hex sub}"), {name} for the name
	// asked for. A claim or name put in as text must be made of the characters CouchDB allows, without a slash, or the
	// request is refused. Parts must not run into each other: "{claim tenant}-{name}" would let tenant a open what is
	// b-c's of tenant a-b, and is an error; "{claim tenant}/{name}" is fine.
	//
	// Without {name} the same database is opened whatever name is asked for: set Names.
	Database string
	// Names is a pattern ("todos", "todos-*") of the names that may be asked for. Default: any.
	Names string
	// DatabasesClaim is the claim that lists what may be opened. It is an array of patterns ("todos-*"), which open the
	// database of the name asked for, and of objects {"match": pattern, "database": pattern whose * is what the star of
	// match stood for, "access", "design_docs", "create", "upstream"}, all but match optional. The first that matches
	// decides. A list with anything else in it opens nothing.
	DatabasesClaim string
	// AccessClaim is the claim that has "read-write", "read-only" or "write-only" for the database of the template.
	// Any other value refuses.
	AccessClaim string
	// Access is for tokens without the AccessClaim and for entries of the list without access. Default: ReadWrite; with an
	// AccessClaim: none, so that a token without it is refused.
	Access Access
	// Upstream is the server. Default: the default one.
	Upstream string
	// DesignDocs allows design documents to be written. Entries of the list may say otherwise.
	DesignDocs bool
	// CreateMissing has databases created that do not exist. Entries of the list may say otherwise.
	CreateMissing bool
	// Security is the _security object of databases created, a JSON object in which a string "{claim C}" or "{hex C}"
	// becomes the value of that claim. Default: CouchDB's, which is admins only. See [PerUserSecurity].
	Security json.RawMessage

	// Identity is who CouchDB sees: ServiceAccount (default), Bearer (the token itself, for CouchDB's own JWT
	// authentication) or ProxyUser (sub, with the roles of RolesClaim).
	Identity IdentityKind
	// RolesClaim is the claim with the roles of a ProxyUser, an array of strings. A role that begins with an underscore,
	// which is CouchDB's mark of its own roles like _admin, or has a comma, which separates roles, refuses the request.
	// Default: no roles.
	RolesClaim string
}

// PerUserSecurity is the [JWTOptions.Security] of databases that have one user each, by name.
const PerUserSecurity = `{"admins":{"names":[],"roles":["_admin"]},"members":{"names":["{claim sub}"],"roles":[]}}`

const (
	defaultLeeway       = 30 * time.Second
	maxLeeway           = 5 * time.Minute
	defaultJWKSInterval = 15 * time.Minute
	minJWKSInterval     = time.Minute
)

// compile fills in defaults and parses what can be wrong. The error has a line for each fault.
func (o JWTOptions) compile() (*JWT, error) {
	var faults []error
	note := func(option string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", option, err))
		}
	}
	o.defaults()
	j := &JWT{options: o, databases: o.DatabasesClaim}
	note("Algorithms", o.checkAlgorithms())
	note("Leeway", o.checkLeeway())
	note("JWKSURL", o.checkURL())
	j.compileKeys(note)
	j.compileDatabase(note)
	note("Identity", o.checkIdentity())
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	j.options.Keys, j.options.Secret = nil, nil // they live in j.keys
	return j, nil
}

// defaults fills in what is not set.
func (o *JWTOptions) defaults() {
	if len(o.Algorithms) == 0 {
		o.Algorithms = allAlgorithms()
	}
	if o.Leeway == 0 {
		o.Leeway = defaultLeeway
	}
	o.Leeway = max(o.Leeway, 0)
	if o.JWKSInterval == 0 {
		o.JWKSInterval = defaultJWKSInterval
	}
	if o.Access == NoAccess && o.AccessClaim == "" {
		o.Access = ReadWrite
	}
}

func (o JWTOptions) checkAlgorithms() error {
	known := allAlgorithms()
	for _, a := range o.Algorithms {
		if !slices.Contains(known, a) {
			return fmt.Errorf("%q is not known here; known: %s", a, strings.Join(known, ", "))
		}
	}
	return nil
}

func (o JWTOptions) checkLeeway() error {
	if o.Leeway > maxLeeway {
		return fmt.Errorf("is %s; at most %s", o.Leeway, maxLeeway)
	}
	return nil
}

func (o JWTOptions) checkURL() error {
	if o.JWKSURL == "" {
		return nil
	}
	if o.JWKSInterval < minJWKSInterval {
		return fmt.Errorf("is to be fetched every %s; at least %s", o.JWKSInterval, minJWKSInterval)
	}
	u, err := url.Parse(o.JWKSURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http": // err would show the URL's password
		return errors.New("must be like https://issuer.example/.well-known/jwks.json")
	case u.Scheme == "http" && !o.JWKSOverHTTP && !isLoopbackHost(u.Hostname()):
		return errors.New("is http: use https, or allow http if nobody can be between the bridge and the issuer")
	default:
		return nil
	}
}

func isLoopbackHost(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// compileKeys reads the keys that are given.
func (j *JWT) compileKeys(note func(string, error)) {
	o := j.options
	if len(o.Keys) == 0 && len(o.Secret) == 0 && o.JWKSURL == "" {
		note("Keys", errors.New("there are none: set Keys, Secret or JWKSURL"))
	}
	if len(o.Keys) > 0 {
		keys, err := parseKeys(o.Keys)
		if err == nil {
			err = o.checkKeys(keys)
		}
		note("Keys", err)
		j.keys = keys
	}
	if len(o.Secret) > 0 {
		key, err := parseHMACKey(o.Secret)
		note("Secret", err)
		j.keys = append(j.keys, key)
	}
}

// checkKeys wants every key to be of use.
func (o JWTOptions) checkKeys(keys keySet) error {
	for i, k := range keys {
		if !slices.ContainsFunc(k.algorithms, func(a string) bool { return slices.Contains(o.Algorithms, a) }) {
			return fmt.Errorf("key %d is for %s, which are not among Algorithms", i+1, strings.Join(k.algorithms, ", "))
		}
		if k.kid == "" && o.JWKSURL != "" {
			return fmt.Errorf("key %d has no name (kid): beside a JWKSURL, a token could not tell it from others", i+1)
		}
	}
	return nil
}

// compileDatabase reads what picks the database and what comes with it.
func (j *JWT) compileDatabase(note func(string, error)) {
	o := j.options
	var err error
	switch {
	case (o.Database == "") == (o.DatabasesClaim == ""):
		note("Database", errors.New("set either Database or DatabasesClaim"))
	case o.Database != "":
		j.database, err = parseNameTemplate(o.Database)
		note("Database", err)
	case o.AccessClaim != "":
		note("AccessClaim", errors.New("goes with Database; in the list of DatabasesClaim each entry has its access"))
	}
	if o.Names != "" {
		j.names, err = parsePattern(o.Names)
		note("Names", err)
	}
	if o.Access > WriteOnly {
		note("Access", fmt.Errorf("%s is none", o.Access))
	}
	if o.Security != nil {
		j.security, err = parseSecurityTemplate(o.Security)
		note("Security", err)
	}
}

func (o JWTOptions) checkIdentity() error {
	switch o.Identity {
	case ServiceAccount, Bearer:
		if o.RolesClaim != "" {
			return errors.New("RolesClaim is for a proxy user only")
		}
		return nil
	case ProxyUser:
		return nil
	default:
		return fmt.Errorf("%s is not possible with a token: the service account, the bearer token or a proxy user is", Identity{Kind: o.Identity})
	}
}
