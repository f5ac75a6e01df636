package main

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/caarlos0/env/v10"
)

// prefix begins the name of every environment variable of ours.
const prefix = "POUCHBRIDGE_"

// Config is the configuration: one field for each environment variable. The tags say everything about a variable, and
// the help text and docs/CONFIGURATION.md are made from them: env and envDefault as in caarlos0/env, dev is the default of
// the command dev where it differs, help the meaning, oneof the values allowed, min the least value, policy the
// policy that it is for, secret that the value must never be printed.
type Config struct {
	Listen         string        `env:"LISTEN" envDefault:":3000" dev:"127.0.0.1:3000" help:"Address for websocket clients, host:port. Without a host: every interface; port 0: any free port. The command dev, and the policy open, need a loopback address."`
	CouchDBURL     string        `env:"COUCHDB_URL" secret:"true" help:"The CouchDB behind the bridge, http://user:password@host:5984; special characters of the password percent-encoded. The command serve needs this or COUCHDB_URL_FILE; dev has a CouchDB of its own."`
	CouchDBURLFile string        `env:"COUCHDB_URL_FILE" help:"A file that contains the URL, for secrets that are mounted."`
	CouchDBTimeout time.Duration `env:"COUCHDB_TIMEOUT" envDefault:"60s" min:"1ms" help:"How long CouchDB may be silent, before and within an answer, until a call is given up. Live feeds have a heartbeat instead."`

	UpstreamPatience    time.Duration `env:"UPSTREAM_PATIENCE" envDefault:"10s" min:"1ms" help:"How long a call to CouchDB that fails in passing is tried again before the clients concerned are disconnected, to come back later."`
	UpstreamConcurrency int           `env:"UPSTREAM_CONCURRENCY" envDefault:"128" min:"1" help:"Calls to one CouchDB at a time, at most; further ones wait, those of each session in turn. Fewer are made when CouchDB refuses some or gets slower. Live feeds do not count."`
	MaxFeeds            int           `env:"MAX_FEEDS" envDefault:"500" min:"1" help:"Continuous requests of _changes open at a time at one CouchDB server; there is one for each database that has live clients, whatever their number. Of more databases, those that have been quiet for longest are woken by _db_updates, or looked at every few seconds where the account may not read that."`
	Upstreams           string        `env:"UPSTREAMS" secret:"true" help:"Further CouchDB servers that a policy may choose, by names of its own: eu=https://user:password@eu.example.com,us=https://... A comma within a URL is written %2C. A policy can name no server but these."`
	UpstreamsFile       string        `env:"UPSTREAMS_FILE" help:"A file with these servers, name=URL on each line, instead of UPSTREAMS. Empty lines, and those that begin with #, are left out."`
	ProxySecret         string        `env:"PROXY_SECRET" secret:"true" help:"The secret of CouchDB's section chttpd_auth, for policies that have CouchDB see a user by proxy authentication; set proxy_use_secret = true there, and let nobody but the bridge reach that CouchDB without."`
	ProxySecretFile     string        `env:"PROXY_SECRET_FILE" help:"A file that contains this secret."`

	Policy         []string      `env:"POLICY" envDefault:"couchdb" dev:"open" oneof:"couchdb jwt static webhook script open" help:"Who may open which database: one policy, or several with commas between them, of which the first that knows the client's kind of credentials decides. couchdb: the users of CouchDB, what it lets them do. jwt: whoever has a JSON Web Token, what its claims say. static: whoever has a token of STATIC_FILE, what the file says. webhook: an HTTP endpoint of yours. script: a JavaScript function of yours. open: everyone every database, alone and on a loopback address only. docs/POLICIES.md shows each."`
	PolicyTimeout  time.Duration `env:"POLICY_TIMEOUT" envDefault:"5s" min:"1ms" help:"A request that the policy has not answered by then is refused."`
	PolicyHeaders  []string      `env:"POLICY_HEADERS" help:"Headers of the websocket upgrade that policies are told of, by name, comma-separated. Cookies they are told of always."`
	TrustedProxies []string      `env:"TRUSTED_PROXIES" help:"Proxies in front of the bridge whose X-Forwarded-For is believed, so that policies and logs have the client's own address: comma-separated addresses or networks, like 10.0.0.0/8,fd00::1."`

	CouchDBUpstream        string        `env:"COUCHDB_UPSTREAM" policy:"couchdb" help:"Which of UPSTREAMS has the users and the databases. Default: that of COUCHDB_URL."`
	CouchDBNameAttempts    int           `env:"COUCHDB_NAME_ATTEMPTS" policy:"couchdb" envDefault:"5" min:"1" help:"Wrong passwords forgiven for one user name in a row."`
	CouchDBNameInterval    time.Duration `env:"COUCHDB_NAME_INTERVAL" policy:"couchdb" envDefault:"1m" min:"1ms" help:"Time until one more is forgiven."`
	CouchDBAddressAttempts int           `env:"COUCHDB_ADDRESS_ATTEMPTS" policy:"couchdb" envDefault:"30" min:"1" help:"Wrong credentials forgiven to one client address in a row. Behind a proxy set TRUSTED_PROXIES, or all clients have one address."`
	CouchDBAddressInterval time.Duration `env:"COUCHDB_ADDRESS_INTERVAL" policy:"couchdb" envDefault:"5s" min:"1ms" help:"Time until one more is forgiven."`

	JWTKey            string        `env:"JWT_KEY" policy:"jwt" secret:"true" help:"Public keys of the issuer: PEM blocks or a JSON Web Key Set. The policy needs this, JWT_SECRET or JWT_JWKS_URL."`
	JWTKeyFile        string        `env:"JWT_KEY_FILE" policy:"jwt" help:"A file that contains them."`
	JWTSecret         string        `env:"JWT_SECRET" policy:"jwt" secret:"true" help:"The key of HS256, HS384 and HS512, at least 32 bytes."`
	JWTSecretFile     string        `env:"JWT_SECRET_FILE" policy:"jwt" help:"A file that contains it; a newline at the end does not count."`
	JWTJWKSURL        string        `env:"JWT_JWKS_URL" policy:"jwt" help:"Where the issuer publishes its JSON Web Key Set. It is fetched at the start and again when it is time; through an outage the old keys stay."`
	JWTJWKSInterval   time.Duration `env:"JWT_JWKS_INTERVAL" policy:"jwt" envDefault:"15m" min:"1m" help:"Time between fetches; a token with an unknown key has one made earlier."`
	JWTJWKSOverHTTP   bool          `env:"JWT_JWKS_OVER_HTTP" policy:"jwt" envDefault:"false" help:"true: JWT_JWKS_URL may be http on other machines. Whoever is on the way can then make tokens."`
	JWTAlgorithms     []string      `env:"JWT_ALGORITHMS" policy:"jwt" help:"Algorithms that tokens may use, comma-separated, of HS256, RS256, PS256, ES256 and their like with 384 and 512, and EdDSA. A key is only used with those of its type. Default: all."`
	JWTIssuer         string        `env:"JWT_ISSUER" policy:"jwt" help:"What the claim iss must be. Default: anything. Set it."`
	JWTAudience       []string      `env:"JWT_AUDIENCE" policy:"jwt" help:"Names of which the claim aud must have one, comma-separated. Default: tokens with an aud are refused."`
	JWTLeeway         time.Duration `env:"JWT_LEEWAY" policy:"jwt" envDefault:"30s" min:"0s" help:"How far nbf and iat may lie in the future, for clocks that differ. At most 5m."`
	JWTDatabase       string        `env:"JWT_DATABASE" policy:"jwt" help:"The database in CouchDB, a template: userdb-{hex sub}, {claim tenant}/{name}; {name} is the name asked for. The policy needs this or JWT_DATABASES_CLAIM."`
	JWTNames          string        `env:"JWT_NAMES" policy:"jwt" help:"A pattern of the names that may be asked for, like todos or todos-*. Default: any."`
	JWTDatabasesClaim string        `env:"JWT_DATABASES_CLAIM" policy:"jwt" help:"The claim that lists what may be opened: patterns, and objects with match, database, access, design_docs, create and upstream."`
	JWTAccessClaim    string        `env:"JWT_ACCESS_CLAIM" policy:"jwt" help:"The claim that has read-write, read-only or write-only for the database of JWT_DATABASE."`
	JWTAccess         string        `env:"JWT_ACCESS" policy:"jwt" oneof:"read-write read-only write-only" help:"The access where the token has none. Default: read-write; with JWT_ACCESS_CLAIM: none."`
	JWTUpstream       string        `env:"JWT_UPSTREAM" policy:"jwt" help:"Which of UPSTREAMS has the databases. Default: that of COUCHDB_URL."`
	JWTDesignDocs     bool          `env:"JWT_DESIGN_DOCS" policy:"jwt" envDefault:"false" help:"true: design documents may be pushed, which are code that CouchDB runs."`
	JWTCreate         bool          `env:"JWT_CREATE" policy:"jwt" envDefault:"false" help:"true: a database that is missing is created; the account of the server's URL must be a server administrator for that."`
	JWTSecurity       string        `env:"JWT_SECURITY" policy:"jwt" help:"The _security of databases that are created: per-user (the user of sub alone), or a JSON object with {claim C} and {hex C} in its strings. Default: CouchDB's, which is admins only."`
	JWTIdentity       string        `env:"JWT_IDENTITY" policy:"jwt" envDefault:"service" oneof:"service bearer proxy" help:"Whom CouchDB sees. service: the account of the server's URL. bearer: the token itself, for CouchDB's own JWT authentication. proxy: the user of sub, by proxy authentication."`
	JWTRolesClaim     string        `env:"JWT_ROLES_CLAIM" policy:"jwt" help:"The claim with the roles of a proxy user, an array. Default: no roles."`

	WebhookURL         string        `env:"WEBHOOK_URL" policy:"webhook" secret:"true" help:"Where requests are sent to by POST, https://app.example.com/pouchbridge. A name and a password in it are sent by HTTP basic authentication. The policy needs this or WEBHOOK_URL_FILE."`
	WebhookURLFile     string        `env:"WEBHOOK_URL_FILE" policy:"webhook" help:"A file that contains the URL."`
	WebhookOverHTTP    bool          `env:"WEBHOOK_OVER_HTTP" policy:"webhook" envDefault:"false" help:"true: WEBHOOK_URL may be http on other machines. Whoever is on the way then reads credentials and may grant."`
	WebhookSecret      string        `env:"WEBHOOK_SECRET" policy:"webhook" secret:"true" help:"The key of the header Pouchbridge-Signature, at least 16 bytes, by which the endpoint knows who asks. Default: no signature."`
	WebhookSecretFile  string        `env:"WEBHOOK_SECRET_FILE" policy:"webhook" help:"A file that contains it."`
	WebhookCookies     []string      `env:"WEBHOOK_COOKIES" policy:"webhook" help:"Names of the cookies that are passed on, comma-separated. Default: none."`
	WebhookTimeout     time.Duration `env:"WEBHOOK_TIMEOUT" policy:"webhook" envDefault:"3s" min:"1ms" help:"How long a decision may take, asking again included. Less than POLICY_TIMEOUT."`
	WebhookMaxInFlight int           `env:"WEBHOOK_MAX_IN_FLIGHT" policy:"webhook" envDefault:"64" min:"1" help:"Requests to the endpoint at a time; further ones wait."`
	WebhookMaxAge      time.Duration `env:"WEBHOOK_MAX_AGE" policy:"webhook" envDefault:"0s" min:"0s" help:"How long an answer that allows it by Cache-Control: max-age is used again, at most. 0: answers are used once."`
	WebhookCacheSize   int           `env:"WEBHOOK_CACHE_SIZE" policy:"webhook" envDefault:"10000" min:"1" help:"Answers that are kept, those used last."`
	WebhookBreakAfter  int           `env:"WEBHOOK_BREAK_AFTER" policy:"webhook" envDefault:"5" min:"1" help:"Failures in a row after which the endpoint is left alone."`
	WebhookBreakFor    time.Duration `env:"WEBHOOK_BREAK_FOR" policy:"webhook" envDefault:"5s" min:"1ms" help:"How long it is left alone until a request is let through to see."`

	ScriptFile           string   `env:"SCRIPT_FILE" policy:"script" help:"A JavaScript file with onRequest(credentials, dbName, callback), such as the server of pouch-websocket-sync that there was. What it requires lies in its directory."`
	ScriptCreate         bool     `env:"SCRIPT_CREATE" policy:"script" envDefault:"false" help:"true: new PouchDB(name) has a missing database created, as PouchDB itself does; the account of the server's URL must be a server administrator for that. false: only with the option create: true."`
	ScriptEnv            []string `env:"SCRIPT_ENV" policy:"script" help:"Names of the environment variables that process.env has, comma-separated; not the bridge's own. Default: none."`
	ScriptFetchAllow     []string `env:"SCRIPT_FETCH_ALLOW" policy:"script" help:"URLs that fetch may ask, each with everything below its path, comma-separated: https://users.example.com/v1. Default: none."`
	ScriptRuntimes       int      `env:"SCRIPT_RUNTIMES" policy:"script" envDefault:"0" min:"0" help:"Requests that are decided at a time, each by a runtime of its own, that takes about half a megabyte. 0: 32, or the number of processors if that is more."`
	ScriptMaxMemoryBytes uint64   `env:"SCRIPT_MAX_MEMORY_BYTES" policy:"script" envDefault:"134217728" min:"1048576" help:"By how much the heap may grow while a request runs JavaScript, in bytes."`
	ScriptMaxCallStack   int      `env:"SCRIPT_MAX_CALL_STACK" policy:"script" envDefault:"1000" min:"10" help:"How many calls of functions may be nested."`

	StaticFile string `env:"STATIC_FILE" policy:"static" help:"The tokens, a YAML or JSON file. It is read again when it changes, and at once on SIGHUP; one with faults leaves the tokens as they were. Sessions of a token that is gone, or opens something else now, are ended."`

	AllowedOrigins []string `env:"ALLOWED_ORIGINS" help:"Web pages of which hosts may connect, besides those of the host that the bridge itself is reached by: comma-separated hosts, with port where it is not the scheme's, scheme optional, * for any text in a label or several: app.example.com,https://*.example.org,localhost:5173. Clients that are not browsers send no origin and may always connect. The command dev adds every loopback host."`
	TLSCertFile    string   `env:"TLS_CERT_FILE" help:"Certificate chain in PEM for wss. With TLS_KEY_FILE, or not at all: then put a proxy that terminates TLS in front."`
	TLSKeyFile     string   `env:"TLS_KEY_FILE" help:"The private key of the certificate in PEM."`
	AdminListen    string   `env:"ADMIN_LISTEN" help:"Address for operators, host:port: /metrics (Prometheus), /healthz (the process serves), /readyz (it is not draining and CouchDB answers), DELETE /grants (which ends sessions). Empty: none. It asks for no password; keep it off the internet."`
	PProf          bool     `env:"PPROF" envDefault:"false" help:"true: ADMIN_LISTEN also has /debug/pprof/, profiles of the running program for go tool pprof."`

	MaxConnections     int           `env:"MAX_CONNECTIONS" envDefault:"10000" min:"0" help:"Websockets at a time; further ones are refused. 0: no limit."`
	MaxSessions        int           `env:"MAX_SESSIONS" envDefault:"256" min:"1" help:"Databases open at a time on one websocket."`
	SessionConcurrency int           `env:"SESSION_CONCURRENCY" envDefault:"16" min:"1" help:"Calls to CouchDB at a time for one database of one websocket; further ones wait."`
	MaxMessageBytes    int64         `env:"MAX_MESSAGE_BYTES" envDefault:"67108864" min:"1024" help:"The largest websocket message taken from a client, in bytes."`
	MaxBufferedBytes   int64         `env:"MAX_BUFFERED_BYTES" envDefault:"0" min:"0" help:"Bytes held for all clients together: messages being read, calls, answers, caches. When three quarters are in use, clients that have a share in them are hardly read from; over it the websocket that holds the most is closed, to come back later. Leave room for several of MAX_MESSAGE_BYTES. 0: half of GOMEMLIMIT where that is set, else 536870912."`
	PingInterval       time.Duration `env:"PING_INTERVAL" envDefault:"25s" min:"1ms" help:"Time between pings, which keep proxies from cutting quiet websockets and find dead ones."`
	WriteTimeout       time.Duration `env:"WRITE_TIMEOUT" envDefault:"10s" min:"1ms" help:"A client that takes no data for so long is disconnected."`
	DrainTimeout       time.Duration `env:"DRAIN_TIMEOUT" envDefault:"25s" min:"1ms" help:"How long writes that are under way may take to finish after SIGTERM or SIGINT. A second signal ends the process at once."`

	LogLevel  string `env:"LOG_LEVEL" envDefault:"info" oneof:"trace debug info warn error" help:"The least level that is logged."`
	LogFormat string `env:"LOG_FORMAT" envDefault:"auto" oneof:"auto json console" help:"json: one object on each line. console: for people. auto: console if standard error is a terminal, else json."`

	DevAdmin string `env:"DEV_ADMIN" secret:"true" help:"name:password of the administrator of dev's CouchDB, to try users and permissions. Empty: everyone is administrator there."`
	DevDir   string `env:"DEV_DIR" help:"Where the command dev keeps its databases. Empty: in a temporary directory that is removed at the end."`
}

// faults are what is wrong with a configuration, one sentence each.
type faults []error

// add reports a fault of the variable with the given name, which is without the prefix.
func (f *faults) add(name, format string, args ...any) {
	*f = append(*f, fmt.Errorf(prefix+name+" "+format, args...))
}

// err is all faults as one error, one on each line; nil if there is none.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return fmt.Errorf("the configuration is not usable:\n%w", errors.Join(f...))
}

// loadConfig reads the variables, with the defaults of the command. A variable set to nothing counts as not set. Every
// value is of its type, among its alternatives and within its bounds, unless there are faults.
func loadConfig(getenv func(string) string, command string) (Config, faults) {
	all := variables()
	environment := map[string]string{}
	for _, v := range all {
		environment[v.Key] = getenv(v.Key)
		if environment[v.Key] == "" && command == "dev" {
			environment[v.Key] = v.DevDefault
		}
	}
	var c Config
	err := env.ParseWithOptions(&c, env.Options{Environment: environment, Prefix: prefix})
	unread := unreadFields(err)

	var f faults
	for _, v := range all {
		if unread[v.Name] {
			f.add(v.OwnKey, "is %s; it must be %s", v.show(environment[v.Key]), v.kind())
		} else {
			v.check(reflect.ValueOf(c).FieldByIndex(v.Index), &f)
		}
	}
	return c, f
}

// unreadFields names the fields of Config whose text was not of their type. The library has no other errors for us, as
// Config has no field of a type it does not know, none it must load, and none it requires.
func unreadFields(err error) map[string]bool {
	unread := map[string]bool{}
	var all env.AggregateError
	errors.As(err, &all)
	for _, e := range all.Errors {
		var parse env.ParseError
		if errors.As(e, &parse) {
			unread[parse.Name] = true
		}
	}
	return unread
}
