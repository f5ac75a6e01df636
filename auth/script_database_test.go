package auth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestScriptOptions are the second argument of new PouchDB: a grant, or an error that only the log tells.
func TestScriptOptions(t *testing.T) {
	t.Parallel()
	base := Grant{Database: "db", Access: ReadWrite}
	with := func(change func(*Grant)) Grant { g := base; change(&g); return g }
	for name, tt := range map[string]struct {
		args string
		want Grant
		err  string
	}{
		"none":             {`'db'`, base, ""},
		"null":             {`'db', null`, base, ""},
		"access":           {`'db', {access: 'read-only'}`, with(func(g *Grant) { g.Access = ReadOnly }), ""},
		"design docs":      {`'db', {designDocs: true}`, with(func(g *Grant) { g.DesignDocs = true }), ""},
		"design_docs":      {`'db', {design_docs: true}`, with(func(g *Grant) { g.DesignDocs = true }), ""},
		"subject":          {`'db', {subject: 'alice', upstream: 'eu'}`, with(func(g *Grant) { g.Subject = "alice"; g.Upstream = "eu" }), ""},
		"create":           {`'db', {create: true}`, with(func(g *Grant) { g.Create = &Creation{} }), ""},
		"do not create":    {`'db', {create: false}`, base, ""},
		"selector":         {`'db', {selector: {owner: 'alice', n: {$gt: 1.5}, x: null}}`, with(func(g *Grant) { g.Filter.Selector = []byte(`{"owner":"alice","n":{"$gt":1.5},"x":null}`) }), ""},
		"of storage":       {`'db', {adapter: 'leveldb', auto_compaction: true, revs_limit: 1, skip_setup: true}`, base, ""},
		"filter":           {`'db', {filter: 'app/mine', query_params: {user: 'alice'}}`, with(func(g *Grant) { g.Filter.Name = "app/mine"; g.Filter.Query = map[string]string{"user": "alice"} }), ""},
		"doc ids":          {`'db', {docIds: ['a', 'b']}`, with(func(g *Grant) { g.Filter.DocIDs = []string{"a", "b"} }), ""},
		"expires":          {`'db', {expires: new Date(1893553445000)}`, with(func(g *Grant) { g.Expires = fullRequest().Previous.Expires }), ""},
		"identity":         {`'db', {identity: {proxy: {name: 'alice', roles: ['r']}}}`, with(func(g *Grant) { g.Identity = Identity{Kind: ProxyUser, Name: "alice", Roles: []string{"r"}} }), ""},
		"URL":              {`'http://couch:5984/db'`, base, ""},
		"URL of eu":        {`'https://eu.example.com/couch/a%2Fb/', {access: 'read-only'}`, with(func(g *Grant) { g.Upstream = "eu"; g.Database = "a/b"; g.Access = ReadOnly }), ""},
		"URL with user":    {`'HTTP://alice:pw@COUCH:5984/db'`, with(func(g *Grant) { g.Identity = Identity{Kind: Basic, Name: "alice", Secret: "pw"} }), ""},
		"getter counted":   {`'db', {get access() { this.n = (this.n || 0) + 1; return this.n > 1 ? 'read-write' : 'read-only' }}`, with(func(g *Grant) { g.Access = ReadOnly }), ""},
		"unknown":          {`'db', {admin: true}`, Grant{}, "admin"},
		"database":         {`'db', {database: 'other'}`, Grant{}, "database"},
		"wrong access":     {`'db', {access: 'all'}`, Grant{}, "access"},
		"wrong type":       {`'db', {design_docs: 'yes'}`, Grant{}, "design_docs"},
		"upstream":         {`'db', {upstream: 'mars'}`, Grant{}, `"mars"`},
		"upstream URL":     {`'db', {upstream: 'http://evil.example.com'}`, Grant{}, "must be the name of a configured server"},
		"undefined":        {`'db', {selector: undefined}`, Grant{}, "selector is undefined"},
		"null selector":    {`'db', {selector: null}`, Grant{}, "selector is null"},
		"undefined inside": {`'db', {selector: {owner: undefined}}`, Grant{}, "owner is undefined"},
		"function":         {`'db', {filter: () => true}`, Grant{}, "filter is"},
		"NaN":              {`'db', {expires: NaN}`, Grant{}, "expires is NaN"},
		"invalid date":     {`'db', {expires: new Date(NaN)}`, Grant{}, "expires"},
		"expired":          {`'db', {expires: 1000000000}`, Grant{}, "has expired, at 2001-09-09T01:46:40Z"},
		"milliseconds":     {`'db', {expires: 1893553445000}`, Grant{}, "seconds"},
		"twice":            {`'db', {designDocs: false, design_docs: true}`, Grant{}, "twice"},
		"string":           {`'db', 'read-only'`, Grant{}, "must be an object"},
		"array":            {`'db', ['read-only']`, Grant{}, ""},
		"system":           {`'_users'`, Grant{}, "system"},
		"two filters":      {`'db', {selector: {}, docIds: ['a']}`, Grant{}, "more than one"},
		"throwing getter":  {`'db', {get access() { null.x }}`, Grant{}, "TypeError"},
		"circular":         {`'db', (() => { const o = {}; o.selector = o; return o })()`, Grant{}, "TypeError"},
		"deep":             {`'db', (() => { let o = {}; for (let i = 0; i < 1e5; i++) o = {o}; return {selector: o} })()`, Grant{}, ""},

		"other host":      {`'http://evil.example.com/db'`, Grant{}, "no configured server"},
		"other port":      {`'http://couch:5985/db'`, Grant{}, "no configured server"},
		"other scheme":    {`'https://couch:5984/db'`, Grant{}, "no configured server"},
		"file":            {`'file:///etc/passwd'`, Grant{}, "no configured server"},
		"prefix of host":  {`'http://couch:5984.evil.example.com/db'`, Grant{}, ""},
		"user as host":    {`'http://couch:5984@evil.example.com/db'`, Grant{}, "no configured server"},
		"prefix of path":  {`'https://eu.example.com/couchdb/db'`, Grant{}, "no configured server"},
		"above the path":  {`'https://eu.example.com/couch/../db'`, Grant{}, "no configured server"},
		"no database":     {`'http://couch:5984/'`, Grant{}, "no configured server"},
		"document":        {`'http://couch:5984/db/doc'`, Grant{}, "no configured server"},
		"query":           {`'http://couch:5984/db?x=1'`, Grant{}, "no query"},
		"URL and options": {`'http://couch:5984/db', {upstream: 'eu'}`, Grant{}, "must not have upstream"},
		"system by URL":   {`'http://couch:5984/_users'`, Grant{}, "system"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scriptOf(t, "module.exports = (c, name, cb) => cb(null, new PouchDB("+tt.args+"))", ScriptOptions{
				Upstreams: []string{"eu"}, UpstreamURLs: map[string]string{"": "http://couch:5984", "eu": "https://admin:pw@eu.example.com/couch/"},
			})
			g, err := ask(t, s, "")
			if tt.want.Database == "" {
				checkRefusal(t, err, "", tt.err)
				if strings.Contains(err.Error(), "pw") {
					t.Errorf("error %q has a password", err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, g); err != nil || diff != "" {
				t.Errorf("error %v, grant differs:\n%s", err, diff)
			}
		})
	}
}

// TestScriptCreate: by configuration databases are created as PouchDB does, unless the script says otherwise.
func TestScriptCreate(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]bool{`name`: true, `name, {create: false}`: false, `name, {access: 'read-only'}`: true} {
		s := scriptOf(t, "module.exports = (c, name) => new PouchDB("+args+")", ScriptOptions{Create: true})
		if g, err := ask(t, s, ""); err != nil || (g.Create != nil) != want {
			t.Errorf("%s: %+v, %v", args, g, err)
		}
	}
}

// TestScriptModules: files below the script's directory, and nothing else.
func TestScriptModules(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"lib/users.js":                    `const rights = require('../rights'); module.exports = (name) => rights[name] + require('./more').n`,
		"lib/more/index.js":               `exports.n = require('url').parse === undefined ? 1 : 2`,
		"rights.json":                     `{"todos": "db"}`,
		"node_modules/plain/main.js":      `exports.suffix = 'x'`,
		"node_modules/plain/package.json": `{"main": "main.js"}`,
		"data.txt":                        `module.exports = 'text'`,
		"broken.js":                       "\n\nreturn (",
	}
	for name, tt := range map[string]struct {
		policy, want, err string
	}{
		"local":           {`const users = require('./lib/users'); module.exports = (c, name) => new PouchDB(users(name) + require('plain').suffix)`, "db1x", ""},
		"text":            {`require('./data.txt')`, "", "cannot find module"},
		"parent":          {`require('../secret')`, "", "cannot find module"},
		"far parent":      {`require('./lib/../../secret.js')`, "", "escapes"},
		"absolute":        {`require('/etc/passwd')`, "", "cannot find module"},
		"absolute script": {`require(SECRET)`, "", "escapes"},
		"symlink":         {`require('./link')`, "", "escapes"},
		"symlinked dir":   {`require('./dir/secret')`, "", "escapes"},
		"fs":              {`require('fs')`, "", "cannot find module"},
		"node:fs":         {`require('node:fs')`, "", "cannot find module"},
		"__proto__":       {`require('__proto__')`, "", "cannot find module"},
		"syntax":          {`require('./broken')`, "", "broken.js"},
		"caught":          {`try { require('fs') } catch (e) { module.exports = (c, n) => new PouchDB('db') }`, "db", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			secret := filepath.Join(dir, "secret.js")
			all := map[string]string{"policy.js": strings.ReplaceAll(tt.policy, "SECRET", "'"+secret+"'")}
			for name, source := range files {
				all[name] = source
			}
			inner := scriptFiles(t, all)
			home := filepath.Join(dir, "home")
			for _, err := range []error{
				os.Rename(filepath.Dir(inner), home),
				os.WriteFile(secret, []byte("module.exports = 'secret'"), 0o600),
				os.Symlink(secret, filepath.Join(home, "link.js")),
				os.Symlink(dir, filepath.Join(home, "dir")),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			s, err := NewScript(ScriptOptions{File: filepath.Join(home, "policy.js")})
			if tt.want == "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v lacks %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			g, err := ask(t, s, "")
			if err != nil || g.Database != tt.want {
				t.Errorf("%+v, %v", g, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
