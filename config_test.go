package main

import (
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pouchbridge/auth"
)

// file writes a file for a test and returns its path.
func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const notUsable = "the configuration is not usable:\n"

func TestConfigurationFaults(t *testing.T) {
	t.Parallel()
	const url = "http://admin:s3cr3t@127.0.0.1:5984"
	// good is what serve needs; a case adds to it, or takes away with "".
	good := map[string]string{"LISTEN": "127.0.0.1:0", "COUCHDB_URL": url, "POLICY": "open"}
	missing := filepath.Join(t.TempDir(), "missing")
	badTokens := file(t, `{"tokens":[{"token":"s3cr3t","databases":[{"match":"A"}]},{"token":"s3cr3t"}]}`)
	badScript := file(t, "throw 1")
	goodTokens := file(t, staticExample)
	urlFile := file(t, url+"\n")
	for _, tt := range []struct {
		name, command string
		set           map[string]string
		want          []string
	}{
		{"nothing set", "serve", map[string]string{"LISTEN": "", "COUCHDB_URL": "", "POLICY": ""}, []string{
			`POUCHBRIDGE_COUCHDB_URL is not set; set it, or POUCHBRIDGE_COUCHDB_URL_FILE, to the URL of your CouchDB, like http://user:password@127.0.0.1:5984`,
		}},
		{"open policy on every interface", "serve", map[string]string{"LISTEN": ""}, []string{
			`POUCHBRIDGE_POLICY is open, which lets everyone read and write every database, but other machines can reach the address ":3000": set POUCHBRIDGE_LISTEN to a loopback address like 127.0.0.1:3000, or POUCHBRIDGE_POLICY to another policy`,
		}},
		{"open policy on an address", "serve", map[string]string{"LISTEN": "192.168.1.7:3000"}, []string{
			`POUCHBRIDGE_POLICY is open, which lets everyone read and write every database, but other machines can reach the address "192.168.1.7:3000": set POUCHBRIDGE_LISTEN to a loopback address like 127.0.0.1:3000, or POUCHBRIDGE_POLICY to another policy`,
		}},
		{"policy", "serve", map[string]string{"POLICY": "magic"}, []string{`POUCHBRIDGE_POLICY is "magic"; it must be couchdb, jwt, static, webhook, script or open`}},
		{"listen without a port", "serve", map[string]string{"LISTEN": "localhost"}, []string{
			`POUCHBRIDGE_LISTEN is "localhost"; it must be host:port, like 127.0.0.1:3000 or :3000`,
		}},
		{"port by name", "serve", map[string]string{"LISTEN": "localhost:http"}, []string{`POUCHBRIDGE_LISTEN is "localhost:http"; its port must be a number from 0 to 65535`}},
		{"profiles nowhere", "serve", map[string]string{"PPROF": "true"}, []string{`POUCHBRIDGE_PPROF is true, but POUCHBRIDGE_ADMIN_LISTEN, where the profiles would be, is not set`}},
		{"port too large", "serve", map[string]string{"ADMIN_LISTEN": ":70000"}, []string{`POUCHBRIDGE_ADMIN_LISTEN is ":70000"; its port must be a number from 0 to 65535`}},
		{"not numbers", "serve", map[string]string{"MAX_CONNECTIONS": "many", "MAX_MESSAGE_BYTES": "64MiB", "PING_INTERVAL": "25", "DRAIN_TIMEOUT": "long"}, []string{
			`POUCHBRIDGE_MAX_CONNECTIONS is "many"; it must be a whole number`,
			`POUCHBRIDGE_MAX_MESSAGE_BYTES is "64MiB"; it must be a whole number`,
			`POUCHBRIDGE_PING_INTERVAL is "25"; it must be a duration like 500ms, 25s or 1m30s`,
			`POUCHBRIDGE_DRAIN_TIMEOUT is "long"; it must be a duration like 500ms, 25s or 1m30s`,
		}},
		{"too small", "serve", map[string]string{"MAX_CONNECTIONS": "-1", "MAX_SESSIONS": "0", "SESSION_CONCURRENCY": "0", "MAX_MESSAGE_BYTES": "10", "POLICY_TIMEOUT": "0s", "WRITE_TIMEOUT": "-5s"}, []string{
			`POUCHBRIDGE_POLICY_TIMEOUT is 0s; it must be at least 1ms`,
			`POUCHBRIDGE_MAX_CONNECTIONS is -1; it must be at least 0`,
			`POUCHBRIDGE_MAX_SESSIONS is 0; it must be at least 1`,
			`POUCHBRIDGE_SESSION_CONCURRENCY is 0; it must be at least 1`,
			`POUCHBRIDGE_MAX_MESSAGE_BYTES is 10; it must be at least 1024`,
			`POUCHBRIDGE_WRITE_TIMEOUT is -5s; it must be at least 1ms`,
		}},
		{"log", "serve", map[string]string{"LOG_LEVEL": "INFO", "LOG_FORMAT": "text"}, []string{
			`POUCHBRIDGE_LOG_LEVEL is "INFO"; it must be trace, debug, info, warn or error`,
			`POUCHBRIDGE_LOG_FORMAT is "text"; it must be auto, json or console`,
		}},
		{"two URLs", "serve", map[string]string{"COUCHDB_URL_FILE": urlFile}, []string{`POUCHBRIDGE_COUCHDB_URL and POUCHBRIDGE_COUCHDB_URL_FILE are both set; set one`}},
		{"URL file missing", "serve", map[string]string{"COUCHDB_URL": "", "COUCHDB_URL_FILE": missing}, []string{`POUCHBRIDGE_COUCHDB_URL_FILE cannot be read: open ` + missing + `: no such file or directory`}},
		{"URL file empty", "serve", map[string]string{"COUCHDB_URL": "", "COUCHDB_URL_FILE": file(t, "\n")}, []string{
			`POUCHBRIDGE_COUCHDB_URL_FILE is an empty file`,
		}},
		{"URL of another scheme", "serve", map[string]string{"COUCHDB_URL": "ftp://admin:s3cr3t@h"}, []string{
			`POUCHBRIDGE_COUCHDB_URL must begin with http:// or https:// (the value is not shown, as it may contain a password)`,
		}},
		{"password not encoded", "serve", map[string]string{"COUCHDB_URL": "http://admin:s3cr3t%@h"}, []string{
			`POUCHBRIDGE_COUCHDB_URL is not a URL; percent-encode special characters of the password (the value is not shown, as it may contain a password)`,
		}},
		{"origins", "serve", map[string]string{"ALLOWED_ORIGINS": "*,app.example.com, https://*, *:*, *.*,https://app.example.com/, [,,localhost:5173"}, []string{
			`POUCHBRIDGE_ALLOWED_ORIGINS has "*", which lets every page on the web connect from its visitors' browsers; list the hosts that serve your apps`,
			`POUCHBRIDGE_ALLOWED_ORIGINS has "https://*", which lets every page on the web connect from its visitors' browsers; list the hosts that serve your apps`,
			`POUCHBRIDGE_ALLOWED_ORIGINS has "*:*", which lets every page on the web connect from its visitors' browsers; list the hosts that serve your apps`,
			`POUCHBRIDGE_ALLOWED_ORIGINS has "*.*", which lets every page on the web connect from its visitors' browsers; list the hosts that serve your apps`,
			`POUCHBRIDGE_ALLOWED_ORIGINS has "https://app.example.com/"; a pattern is a host like app.example.com, localhost:5173 or https://*.example.org, without a path`,
			`POUCHBRIDGE_ALLOWED_ORIGINS has "["; a pattern is a host like app.example.com, localhost:5173 or https://*.example.org, without a path`,
			`POUCHBRIDGE_ALLOWED_ORIGINS has ""; a pattern is a host like app.example.com, localhost:5173 or https://*.example.org, without a path`,
		}},
		{"certificate without key", "serve", map[string]string{"TLS_CERT_FILE": missing}, []string{`POUCHBRIDGE_TLS_KEY_FILE is not set, but POUCHBRIDGE_TLS_CERT_FILE is; set both or none`}},
		{"key without certificate", "serve", map[string]string{"TLS_KEY_FILE": missing}, []string{`POUCHBRIDGE_TLS_CERT_FILE is not set, but POUCHBRIDGE_TLS_KEY_FILE is; set both or none`}},
		{"certificate that is none", "serve", map[string]string{"TLS_CERT_FILE": urlFile, "TLS_KEY_FILE": urlFile}, []string{
			`POUCHBRIDGE_TLS_CERT_FILE and POUCHBRIDGE_TLS_KEY_FILE cannot be used: tls: failed to find any PEM data in certificate input`,
		}},
		{"static without a file", "serve", map[string]string{"POLICY": "static"}, []string{`POUCHBRIDGE_STATIC_FILE is not set; the policy static needs the file of its tokens`}},
		{"static file missing", "serve", map[string]string{"POLICY": "static", "STATIC_FILE": missing}, []string{`POUCHBRIDGE_STATIC_FILE cannot be read: open ` + missing + `: no such file or directory`}},
		{"static file with faults", "serve", map[string]string{"POLICY": "static", "STATIC_FILE": badTokens}, []string{
			`POUCHBRIDGE_STATIC_FILE ` + badTokens + ` is not usable:`,
			`  tokens[0].databases[0].match: "A" contains 'A': a database name has only a-z, 0-9 and _$()+-/`,
			`  tokens[1]: is the same token as tokens[0]`,
			`  tokens[1].databases: must list at least one database`,
		}},
		{"static file without end", "serve", map[string]string{"POLICY": "static", "STATIC_FILE": "/dev/zero"}, []string{`POUCHBRIDGE_STATIC_FILE cannot be read: /dev/zero is larger than 16777216 bytes`}},
		{"dev where others could connect", "dev", map[string]string{"COUCHDB_URL": "", "POLICY": "", "LISTEN": ":3000", "ADMIN_LISTEN": "0.0.0.0:9090"}, []string{
			`POUCHBRIDGE_LISTEN is ":3000"; the command dev listens on a loopback address only, like 127.0.0.1:3000`,
			`POUCHBRIDGE_ADMIN_LISTEN is "0.0.0.0:9090"; the command dev listens on a loopback address only, like 127.0.0.1:9090`,
		}},
		{"dev with a CouchDB", "dev", map[string]string{"COUCHDB_URL_FILE": urlFile}, []string{
			`POUCHBRIDGE_COUCHDB_URL is set, but the command dev has a CouchDB of its own; unset it, or use the command serve`,
			`POUCHBRIDGE_COUCHDB_URL_FILE is set, but the command dev has a CouchDB of its own; unset it, or use the command serve`,
		}},
		{"open in a chain", "serve", map[string]string{"POLICY": "static, open,static", "STATIC_FILE": goodTokens}, []string{
			`POUCHBRIDGE_POLICY has open and others; open lets everyone do everything, so that no other is ever of use: take it out`,
			`POUCHBRIDGE_POLICY has static twice`,
		}},
		{"variable of a policy that is not chosen", "serve", map[string]string{"STATIC_FILE": goodTokens}, []string{
			`POUCHBRIDGE_STATIC_FILE is set, but does nothing, as POUCHBRIDGE_POLICY has no static; unset it, or add the policy`,
		}},
		{"servers", "serve", map[string]string{"UPSTREAMS": "eu=http://u:s3cr3t@h,US=http://u:s3cr3t@h,http://u:s3cr3t@h,eu=http://h, af=ftp://u:s3cr3t@h,"}, []string{
			`POUCHBRIDGE_UPSTREAMS has a faulty entry, number 2; write name=URL, the name of a-z, 0-9, - and _ (the value is not shown, as it may contain a password)`,
			`POUCHBRIDGE_UPSTREAMS has a faulty entry, number 3; write name=URL, the name of a-z, 0-9, - and _ (the value is not shown, as it may contain a password)`,
			`POUCHBRIDGE_UPSTREAMS has the server "eu" twice`,
			`POUCHBRIDGE_UPSTREAMS of the server "af" must begin with http:// or https:// (the value is not shown, as it may contain a password)`,
			`POUCHBRIDGE_UPSTREAMS has a faulty entry, number 6; write name=URL, the name of a-z, 0-9, - and _ (the value is not shown, as it may contain a password)`,
		}},
		{"file of servers", "serve", map[string]string{"UPSTREAMS_FILE": file(t, "# ours\n\neu=http://u:s3cr3t@h\nus\n")}, []string{
			`POUCHBRIDGE_UPSTREAMS_FILE has a faulty entry, number 4; write name=URL, the name of a-z, 0-9, - and _ (the value is not shown, as it may contain a password)`,
		}},
		{"secrets twice, missing and empty", "serve", map[string]string{"UPSTREAMS": "eu=http://h", "UPSTREAMS_FILE": urlFile, "PROXY_SECRET_FILE": file(t, " \n")}, []string{
			`POUCHBRIDGE_UPSTREAMS and POUCHBRIDGE_UPSTREAMS_FILE are both set; set one`,
			`POUCHBRIDGE_PROXY_SECRET_FILE is an empty file`,
		}},
		{"secret that cannot be read", "serve", map[string]string{"PROXY_SECRET_FILE": missing}, []string{
			`POUCHBRIDGE_PROXY_SECRET_FILE cannot be read: open ` + missing + `: no such file or directory`,
		}},
		{"proxies and headers", "serve", map[string]string{"TRUSTED_PROXIES": "10.0.0.0/8, proxy.example.com,fe80::1%eth0,10.0.0.0/33", "POLICY_HEADERS": "X-Tenant,cookie,a b,"}, []string{
			`POUCHBRIDGE_TRUSTED_PROXIES has "proxy.example.com"; it must be an address like 10.1.2.3 or a network like 10.0.0.0/8`,
			`POUCHBRIDGE_TRUSTED_PROXIES has "fe80::1%eth0"; it must be an address like 10.1.2.3 or a network like 10.0.0.0/8`,
			`POUCHBRIDGE_TRUSTED_PROXIES has "10.0.0.0/33"; it must be an address like 10.1.2.3 or a network like 10.0.0.0/8`,
			`POUCHBRIDGE_POLICY_HEADERS has Cookie; policies are told of cookies without that`,
			`POUCHBRIDGE_POLICY_HEADERS has "a b", which is no name of a header`,
			`POUCHBRIDGE_POLICY_HEADERS has "", which is no name of a header`,
		}},
		{"policy without a name", "serve", map[string]string{"POLICY": "couchdb,"}, []string{`POUCHBRIDGE_POLICY is ""; it must be couchdb, jwt, static, webhook, script or open`}},
		{"couchdb", "serve", map[string]string{"POLICY": "couchdb", "COUCHDB_UPSTREAM": "eu", "COUCHDB_NAME_ATTEMPTS": "0"}, []string{
			`POUCHBRIDGE_COUCHDB_NAME_ATTEMPTS is 0; it must be at least 1`,
			`POUCHBRIDGE_COUCHDB_UPSTREAM is "eu", which is none of the servers of POUCHBRIDGE_UPSTREAMS`,
			`POUCHBRIDGE_POLICY couchdb cannot be made: attempts of a user name: 0 are forgiven in a row; must be 1 or more`,
		}},
		{"jwt with nothing", "serve", map[string]string{"POLICY": "jwt"}, []string{
			`POUCHBRIDGE_JWT_KEY: there are none: set POUCHBRIDGE_JWT_KEY, POUCHBRIDGE_JWT_SECRET or POUCHBRIDGE_JWT_JWKS_URL`,
			`POUCHBRIDGE_JWT_DATABASE: set either POUCHBRIDGE_JWT_DATABASE or POUCHBRIDGE_JWT_DATABASES_CLAIM`,
		}},
		{"jwt", "serve", map[string]string{"POLICY": "jwt", "JWT_KEY": "s3cr3t", "JWT_SECRET": "s3cr3t", "JWT_JWKS_URL": "http://u:s3cr3t@issuer.example",
			"JWT_ALGORITHMS": "none, RS256", "JWT_LEEWAY": "6m", "JWT_DATABASE": "a{", "JWT_ACCESS": "all", "JWT_SECURITY": "[]", "JWT_CREATE": "perhaps", "JWT_ROLES_CLAIM": "roles", "JWT_UPSTREAM": "eu"}, []string{
			`POUCHBRIDGE_JWT_ACCESS is "all"; it must be read-write, read-only or write-only`,
			`POUCHBRIDGE_JWT_CREATE is "perhaps"; it must be true or false`,
			`POUCHBRIDGE_JWT_UPSTREAM is "eu", which is none of the servers of POUCHBRIDGE_UPSTREAMS`,
			`POUCHBRIDGE_JWT_ALGORITHMS: "none" is not known here; known: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA`,
			`POUCHBRIDGE_JWT_LEEWAY: is 6m0s; at most 5m0s`,
			`POUCHBRIDGE_JWT_JWKS_URL: is http: use https, or allow http if nobody can be between the bridge and the issuer`,
			`POUCHBRIDGE_JWT_KEY: is neither PEM (-----BEGIN PUBLIC KEY-----) nor a JSON Web Key Set`,
			`POUCHBRIDGE_JWT_SECRET: secret has 6 bytes; it must have at least 32`,
			`POUCHBRIDGE_JWT_DATABASE: "a{" has a { without a }`,
			`POUCHBRIDGE_JWT_SECURITY: must be a JSON object`,
			`POUCHBRIDGE_JWT_IDENTITY: POUCHBRIDGE_JWT_ROLES_CLAIM is for a proxy user only`,
		}},
		{"webhook with nothing", "serve", map[string]string{"POLICY": "webhook"}, []string{
			`POUCHBRIDGE_WEBHOOK_URL is not set; the policy webhook needs an address to ask, like https://app.example.com/pouchbridge`,
		}},
		{"webhook", "serve", map[string]string{"POLICY": "webhook", "WEBHOOK_URL": "http://u:s3cr3t@app.example.com", "WEBHOOK_SECRET_FILE": file(t, "s3cr3t"), "WEBHOOK_TIMEOUT": "5s"}, []string{
			`POUCHBRIDGE_WEBHOOK_TIMEOUT is 5s; it must be less than POUCHBRIDGE_POLICY_TIMEOUT, which is 5s`,
			`POUCHBRIDGE_WEBHOOK_URL: is http: use https, or allow http if nobody can be between the bridge and the endpoint`,
			`POUCHBRIDGE_WEBHOOK_SECRET: has 6 bytes; at least 16`,
		}},
		{"script with nothing", "serve", map[string]string{"POLICY": "script"}, []string{`POUCHBRIDGE_SCRIPT_FILE is not set; the policy script needs a JavaScript file`}},
		{"script", "serve", map[string]string{"POLICY": "script", "SCRIPT_FILE": badScript, "SCRIPT_ENV": "POUCHBRIDGE_COUCHDB_URL,HOME", "SCRIPT_MAX_MEMORY_BYTES": "1", "SCRIPT_RUNTIMES": "-1"}, []string{
			`POUCHBRIDGE_SCRIPT_RUNTIMES is -1; it must be at least 0`,
			`POUCHBRIDGE_SCRIPT_MAX_MEMORY_BYTES is 1; it must be at least 1048576`,
			`POUCHBRIDGE_SCRIPT_ENV has "POUCHBRIDGE_COUCHDB_URL"; it must be the name of a variable that is not the bridge's own`,
			`POUCHBRIDGE_SCRIPT_FILE cannot be used: script ` + badScript + `: 1`,
			"\tat file:1:1(1)",
		}},
		{"everything at once", "serve", map[string]string{"LISTEN": "x", "POLICY": "magic", "COUCHDB_URL": "s3cr3t", "MAX_SESSIONS": "none", "TLS_KEY_FILE": "k"}, []string{
			`POUCHBRIDGE_POLICY is "magic"; it must be couchdb, jwt, static, webhook, script or open`,
			`POUCHBRIDGE_MAX_SESSIONS is "none"; it must be a whole number`,
			`POUCHBRIDGE_LISTEN is "x"; it must be host:port, like 127.0.0.1:3000 or :3000`,
			`POUCHBRIDGE_TLS_CERT_FILE is not set, but POUCHBRIDGE_TLS_KEY_FILE is; set both or none`,
			`POUCHBRIDGE_COUCHDB_URL must begin with http:// or https:// (the value is not shown, as it may contain a password)`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := map[string]string{}
			for _, variables := range []map[string]string{good, tt.set} {
				for name, value := range variables {
					set[name] = value
				}
			}
			var log strings.Builder
			err := run(t.Context(), []string{tt.command}, environment(set), nil, &log, &log)
			if err == nil {
				t.Fatal("the program ran")
			}
			if diff := cmp.Diff(notUsable+strings.Join(tt.want, "\n"), err.Error()); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if log.Len() > 0 || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("logged %q, error %v; want no log and no secret", log.String(), err)
			}
		})
	}
}

func TestConfigurationDefaults(t *testing.T) {
	t.Parallel()
	s, err := configure(environment(map[string]string{
		"COUCHDB_URL_FILE": file(t, "https://admin:s3cr3t@db.example.com:6984/prefix/\n"),
		"POLICY":           "static",
		"STATIC_FILE":      file(t, staticExample),
		"ALLOWED_ORIGINS":  "app.example.com, https://*.example.org ,localhost:5173",
	}), "serve", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	want := Config{
		Listen: ":3000", CouchDBURLFile: s.CouchDBURLFile, CouchDBTimeout: time.Minute, Policy: []string{"static"}, StaticFile: s.StaticFile,
		UpstreamPatience: 10 * time.Second, UpstreamConcurrency: 128, MaxFeeds: 500, PolicyTimeout: 5 * time.Second,
		CouchDBNameAttempts: 5, CouchDBNameInterval: time.Minute, CouchDBAddressAttempts: 30, CouchDBAddressInterval: 5 * time.Second,
		JWTJWKSInterval: 15 * time.Minute, JWTLeeway: 30 * time.Second, JWTIdentity: "service",
		WebhookTimeout: 3 * time.Second, WebhookMaxInFlight: 64, WebhookCacheSize: 10000, WebhookBreakAfter: 5, WebhookBreakFor: 5 * time.Second,
		ScriptMaxMemoryBytes: 128 << 20, ScriptMaxCallStack: 1000,
		AllowedOrigins: []string{"app.example.com", "https://*.example.org", "localhost:5173"},
		MaxConnections: 10000, MaxSessions: 256, SessionConcurrency: 16, MaxMessageBytes: 64 << 20,
		PingInterval: 25 * time.Second, WriteTimeout: 10 * time.Second, DrainTimeout: 25 * time.Second, LogLevel: "info", LogFormat: "auto",
	}
	if diff := cmp.Diff(want, s.Config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if got := s.upstream.String(); got != "https://db.example.com:6984/prefix" {
		t.Errorf("CouchDB is %s", got)
	}
	if _, ok := s.policy.(*auth.StaticFile); !ok {
		t.Errorf("policy is %T", s.policy)
	}
}

// What lists and secrets are made of.
func TestConfigurationValues(t *testing.T) {
	t.Parallel()
	s, err := configure(environment(map[string]string{
		"COUCHDB_URL": "http://127.0.0.1:1", "POLICY": "static",
		"STATIC_FILE":       file(t, "tokens:\n- token: t\n  databases: [{match: a, upstream: eu}]\n"),
		"UPSTREAMS":         "eu=http://u:a%2Cb@eu.example.com, us-1=https://us.example.com/x=y",
		"TRUSTED_PROXIES":   "10.1.2.3/8, ::ffff:192.0.2.1,fd00::1",
		"POLICY_HEADERS":    "x-tenant, Authorization",
		"PROXY_SECRET_FILE": file(t, "s3cr3t\n"),
	}), "serve", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if s.upstreams["eu"].String() != "http://eu.example.com" || s.upstreams["us-1"].String() != "https://us.example.com/x=y" {
		t.Errorf("servers: %v", s.upstreams)
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("fd00::1/128")}
	if !slices.Equal(s.proxies, want) {
		t.Errorf("proxies: %v", s.proxies)
	}
	if !slices.Equal(s.headers, []string{"X-Tenant", "Authorization"}) || s.proxySecret != "s3cr3t" {
		t.Errorf("headers %q, secret %q", s.headers, s.proxySecret)
	}
}

func TestConfigurationDefaultsOfDev(t *testing.T) {
	t.Parallel()
	s, err := configure(environment(nil), "dev", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if s.Listen != "127.0.0.1:3000" || len(s.Policy) != 1 || s.Policy[0] != "open" || s.policy != (auth.Open{}) {
		t.Errorf("dev listens on %s with the policy %s %T", s.Listen, s.Policy, s.policy)
	}
}
