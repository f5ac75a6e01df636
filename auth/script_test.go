package auth

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// scriptFiles writes files, by their names, into a directory and returns the path of policy.js in it.
func scriptFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, source := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "policy.js")
}

// scriptLog collects what a script logs.
type scriptLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *scriptLog) log(level, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level+": "+message)
}

func (l *scriptLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// newScript opens a policy, and checks that it can be closed.
func newScript(t *testing.T, options ScriptOptions) *Script {
	t.Helper()
	s, err := NewScript(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func scriptOf(t *testing.T, source string, options ScriptOptions) *Script {
	t.Helper()
	options.File = scriptFiles(t, map[string]string{"policy.js": source})
	return newScript(t, options)
}

// ask asks for the database todos.
func ask(t *testing.T, s *Script, credentials string) (Grant, error) {
	t.Helper()
	r := Request{Database: "todos"}
	if credentials != "" {
		r.Credentials = json.RawMessage(credentials)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return s.OnRequest(ctx, r)
}

// checkRefusal compares an error with a code and a message; no code is a generic refusal, whose log has the message.
func checkRefusal(t *testing.T, err error, code Code, message string) {
	t.Helper()
	var r *Refusal
	switch found := errors.As(err, &r); {
	case err == nil:
		t.Fatalf("granted, want a refusal %q %q", code, message)
	case code == "" && found:
		t.Fatalf("the user is told %q (%s), want a generic refusal", r.Message, r.Code)
	case code == "" && !strings.Contains(err.Error(), message):
		t.Fatalf("error %q lacks %q", err, message)
	case code != "" && !found:
		t.Fatalf("generic refusal %q, want %q %q", err, code, message)
	case code != "" && (r.Code != code || r.Message != message):
		t.Fatalf("refusal %q %q, want %q %q", r.Code, r.Message, code, message)
	}
}

// TestScriptSeed runs the example of pouch-websocket-sync's README in every form a server's file has it.
func TestScriptSeed(t *testing.T) {
	t.Parallel()
	seed, err := os.ReadFile("testdata/script/seed.js")
	if err != nil {
		t.Fatal(err)
	}
	server, err := os.ReadFile("testdata/script/server.js")
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{
		"as it stands":        string(seed),
		"require pouchdb":     "var PouchDB = require('pouchdb');\n" + string(seed),
		"const pouchdb":       "const PouchDB = require('pouchdb');\n" + string(seed),
		"module.exports":      string(seed) + "module.exports = onRequest;",
		"exports.onRequest":   "(function () {" + string(seed) + "exports.onRequest = onRequest; })()",
		"the README's server": string(server),
		"strict":              "'use strict';\n" + string(seed),
		"hashbang":            "#!/usr/bin/env node\n" + string(seed),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scriptOf(t, source, ScriptOptions{})
			for range 3 { // on the same runtime
				g, err := ask(t, s, `{"token":"some token"}`)
				if err != nil || g.Database != "todos" || g.Access != ReadWrite || g.DesignDocs || g.Create != nil || g.Upstream != "" {
					t.Fatalf("grant %+v, error %v", g, err)
				}
				_, err = ask(t, s, `{"token":"other"}`)
				checkRefusal(t, err, Forbidden, "not allowed")
				_, err = ask(t, s, "")
				checkRefusal(t, err, "", "TypeError")
				_, err = ask(t, s, "null")
				checkRefusal(t, err, "", "TypeError")
			}
		})
	}
}

// TestScriptReadme runs the README's two listings with the very bytes of its web page, on which spaces are no-break
// spaces: those within strings too, so that the token has one.
func TestScriptReadme(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"testdata/script/seed_readme.js", "testdata/script/server_readme.js"} {
		s := newScript(t, ScriptOptions{File: file})
		if g, err := ask(t, s, `{"token":"some\u00a0token"}`); err != nil || g.Database != "todos" {
			t.Errorf("%s: %+v, %v", file, g, err)
		}
		_, err := ask(t, s, `{"token":"some token"}`)
		checkRefusal(t, err, Forbidden, "not\u00a0allowed")
	}
}

// TestScriptListen: the server's file listens once, and is told that it does not.
func TestScriptListen(t *testing.T) {
	t.Parallel()
	var log scriptLog
	s := newScript(t, ScriptOptions{File: "testdata/script/server.js", Log: log.log})
	for range 2 {
		if _, err := s.newRuntime(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "calls listen"); n != 1 {
		t.Errorf("listening is mentioned %d times:\n%s", n, log.String())
	}
}

// TestScriptGrants are the ways to say yes.
func TestScriptGrants(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"undefined error":  `cb(undefined, new PouchDB(dbName))`,
		"returned":         `return new PouchDB(dbName)`,
		"promise":          `return Promise.resolve(new PouchDB(dbName))`,
		"thenable":         `return {then(ok) { ok(new PouchDB(dbName)) }}`,
		"async":            `return (async () => { await null; return new PouchDB(dbName) })()`,
		"timer":            `setTimeout(cb, 5, null, new PouchDB(dbName))`,
		"timer's id":       `return setTimeout(() => cb(null, new PouchDB(dbName)), 1)`,
		"interval":         `let n = 0; const i = setInterval(() => { if (++n === 3) { clearInterval(i); cb(null, new PouchDB(dbName)) } }, 1)`,
		"immediate":        `setImmediate(() => cb(null, new PouchDB(dbName)))`,
		"microtask":        `queueMicrotask(() => cb(null, new PouchDB(dbName)))`,
		"nextTick":         `process.nextTick(cb, null, new PouchDB(dbName))`,
		"unref":            `setTimeout(() => cb(null, new PouchDB(dbName)), 1).unref()`,
		"without new":      `cb(null, PouchDB(dbName))`,
		"name as option":   `cb(null, new PouchDB({name: dbName, adapter: 'leveldb'}))`,
		"subclass":         `class Mine extends PouchDB {}; cb(null, new Mine(dbName))`,
		"first counts":     `cb(null, new PouchDB(dbName)); cb(new Error('late')); throw new Error('later')`,
		"cleared timer":    `const t = setTimeout(() => cb(new Error('no')), 1); clearTimeout(t); setTimeout(() => cb(null, new PouchDB(dbName)), 5)`,
		"URL class":        `cb(null, new PouchDB(new URL('http://x/' + dbName).pathname.slice(1)))`,
		"lists still work": `cb(null, new PouchDB(['x', dbName].filter((n) => n !== 'x').map(String).concat([]).join('') .replace('z', 'y').padStart(2)))`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scriptOf(t, "function onRequest(credentials, dbName, cb) {"+body+"}", ScriptOptions{Runtimes: 1})
			for range 2 {
				if g, err := ask(t, s, ""); err != nil || g.Database != "todos" || g.Access != ReadWrite {
					t.Fatalf("grant %+v, error %v", g, err)
				}
			}
		})
	}
}

// TestScriptRefusals are the ways to say no: code and message are what the user gets, without a code what the log gets.
func TestScriptRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body    string
		code    Code
		message string
	}{
		"error":                 {`cb(new Error('no'))`, Forbidden, "no"},
		"string":                {`cb('no')`, Forbidden, "no"},
		"status 401":            {`cb(Object.assign(new Error('who?'), {status: 401}))`, Unauthorized, "who?"},
		"code 404":              {`cb(Object.assign(new Error('what?'), {code: 404}))`, NotFound, "what?"},
		"code not_found":        {`cb(Object.assign(new Error('what?'), {code: 'not_found'}))`, NotFound, "what?"},
		"PouchDB's error":       {`cb({status: 403, name: 'forbidden', message: 'no'})`, Forbidden, "no"},
		"unavailable":           {`cb(Object.assign(new Error('later'), {status: 503}))`, Unavailable, "later"},
		"status 500":            {`cb(Object.assign(new Error('secret'), {status: 500}))`, "", "secret"},
		"thrown":                {`throw new Error('no')`, Forbidden, "no"},
		"rejected":              {`return Promise.reject(new Error('no'))`, Forbidden, "no"},
		"async":                 {`return (async () => { await null; throw new Error('no') })()`, Forbidden, "no"},
		"first counts":          {`cb(new Error('no')); cb(null, new PouchDB(dbName))`, Forbidden, "no"},
		"refused, then granted": {`cb(new Error('no')); return new PouchDB(dbName)`, Forbidden, "no"},
		"control characters":    {`cb(new Error('a\nb\u0000'))`, Forbidden, "a b "},
		"TypeError":             {`credentials.token`, "", "TypeError"},
		"ReferenceError":        {`nothing`, "", "policy.js:2:1"},
		"TypeError called back": {`cb(new TypeError('secret'))`, "", "secret"},
		"async TypeError":       {`return (async () => { await null; null.x })()`, "", "TypeError"},
		"system error":          {`cb(Object.assign(new Error('secret'), {code: 'ECONNREFUSED'}))`, "", "secret"},
		"number thrown":         {`throw 42`, "", "42"},
		"false as error":        {`cb(false, new PouchDB(dbName))`, "", "false"},
		"0 as error":            {`cb(0, new PouchDB(dbName))`, "", "0"},
		"no database":           {`cb()`, "", "without a PouchDB"},
		"an object":             {`cb(null, {database: dbName, access: 'read-write'})`, "", "without a PouchDB"},
		"a name":                {`cb(null, dbName)`, "", "without a PouchDB"},
		"prototype":             {`cb(null, Object.create(null))`, "", "without a PouchDB"},
		"proxy that throws":     {`cb(null, new Proxy({}, {get() { throw new Error('x') }}))`, "", "without a PouchDB"},
		"error with a getter":   {`try { cb({get message() { throw new Error('x') }}) } catch (e) {} cb(null, new PouchDB(dbName))`, "", "cannot be read"},
		"async without answer":  {`return (async () => {})()`, "", "nothing it could be waiting for"},
		"nothing":               {``, "", "nothing it could be waiting for"},
		"true":                  {`return true`, "", "nothing it could be waiting for"},
		"promise for ever":      {`return new Promise(() => {})`, "", "nothing it could be waiting for"},
		"unhandled rejection":   {`Promise.reject(new Error('lost'))`, "", "lost"},
		"thrown in a timer":     {`setTimeout(() => { throw new Error('in a timer') }, 1); setTimeout(() => cb(null, new PouchDB(dbName)), 50)`, "", "in a timer"},
		"thrown in a microtask": {`queueMicrotask(() => { throw new Error('in a microtask') })`, "", "in a microtask"},
		"empty name":            {`cb(null, new PouchDB(''))`, "", "name must be a string"},
		"no name":               {`cb(null, new PouchDB())`, "", "name must be a string"},
		"process.exit":          {`process.exit(1)`, "", "cannot end the server"},
		"eval":                  {`eval('1')`, "", "code generation"},
		"Function":              {`new Function('1')`, "", "code generation"},
		"AsyncFunction":         {`(async () => {}).constructor('1')`, "", "code generation"},
		"dynamic fs":            {`require('fs')`, "", `cannot find module "fs"`},
		"fetch is off":          {`return fetch('http://127.0.0.1:1/')`, "", "is not among the URLs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scriptOf(t, "function onRequest(credentials, dbName, cb) {\n"+tt.body+"\n}", ScriptOptions{Runtimes: 1})
			for range 2 {
				_, err := ask(t, s, "")
				checkRefusal(t, err, tt.code, tt.message)
			}
		})
	}
}

// TestScriptAbstain: a chain asks the next policy.
func TestScriptAbstain(t *testing.T) {
	t.Parallel()
	s := scriptOf(t, `module.exports = (c, name, cb) => cb(Object.assign(new Error('not mine'), {code: 'abstain'}))`, ScriptOptions{})
	if _, err := ask(t, s, ""); !errors.Is(err, Abstain) {
		t.Fatal(err)
	}
	g, err := Chain{s, Open{}}.OnRequest(t.Context(), Request{Database: "todos"})
	if err != nil || g.Database != "todos" {
		t.Fatal(g, err)
	}
}

// TestScriptLoad are files that are no policy; the error says where.
func TestScriptLoad(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		source, want string
	}{
		"syntax":           {"\n\nfunction (", "policy.js: Line 3:10"},
		"throws":           {"\nthrow new Error('at load')", "Error: at load\n\tat policy.js:2:7"},
		"no function":      {"var x = 1", "has no onRequest"},
		"not a function":   {"module.exports = {onRequest: 1}", "has no onRequest"},
		"ES module":        {"export default function () {}", "import and export are not supported"},
		"loops for ever":   {"while (true) {}", "timed out"},
		"rejects":          {"Promise.reject(new Error('at load'))\nfunction onRequest() {}", "at load"},
		"throws in timer":  {"setTimeout(() => { throw new Error('at load') })\nfunction onRequest() {}", "at load"},
		"missing module":   {"require('./missing')", "cannot find module"},
		"native module":    {"require('fs')", `cannot find module "fs"`},
		"createServer":     {"require('pouch-websocket-sync').createServer({})", "onRequest must be a function"},
		"two createServer": {"var p = require('pouch-websocket-sync'); p.createServer({}, () => {}); p.createServer({}, () => {})", "called twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := scriptFiles(t, map[string]string{"policy.js": tt.source})
			s, err := NewScript(ScriptOptions{File: file, Timeout: 300 * time.Millisecond})
			if err == nil {
				t.Fatal("loaded", s.Close())
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("error %q lacks %q or the file's path", err, tt.want)
			}
		})
	}
	if _, err := NewScript(ScriptOptions{File: filepath.Join(t.TempDir(), "none.js")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// TestScriptLoadWaits: what the file starts when it is loaded is waited for, but for intervals.
func TestScriptLoadWaits(t *testing.T) {
	t.Parallel()
	var log scriptLog
	s := scriptOf(t, `let name; setTimeout(() => { name = 'from-timer' }, 20); setInterval(() => {}, 1000); setTimeout(() => {}, 3600e3);
		module.exports = () => new PouchDB(name)`, ScriptOptions{Log: log.log})
	if g, err := ask(t, s, ""); err != nil || g.Database != "from-timer" {
		t.Fatal(g, err)
	}
	if !strings.Contains(log.String(), "2 timers") {
		t.Errorf("log lacks the timers: %s", log.String())
	}
}

// TestScriptGlobals: they live on between requests, as in Node, but for what every object inherits.
func TestScriptGlobals(t *testing.T) {
	t.Parallel()
	s := scriptOf(t, `let n = 0; const open = {}; module.exports = (c, name) => open[++n] = open[n - 1] || new PouchDB('n' + n)`, ScriptOptions{Runtimes: 1})
	for range 3 {
		if g, err := ask(t, s, ""); err != nil || g.Database != "n1" {
			t.Fatal(g, err)
		}
	}
}

// TestScriptRequest is the fourth argument.
func TestScriptRequest(t *testing.T) {
	t.Parallel()
	s := scriptOf(t, `module.exports = (c, name, cb, request) => cb(new Error(JSON.stringify(request)))`, ScriptOptions{})
	_, err := s.OnRequest(t.Context(), fullRequest())
	checkRefusal(t, err, Forbidden, `{"remoteAddr":"192.0.2.1","remotePort":4711,"origin":"https://app.example.com","dialect":"legacy","tls":true,`+
		`"headers":{"x-tenant":"a, b"},"cookies":{"__proto__":"x"},"previous":{"upstream":"eu","database":"old","access":"read-only",`+
		`"subject":"alice","tokenId":"t1","expires":"2030-01-02T03:04:05Z"}}`)
}

// TestScriptConsole: levels, formats, objects, and no flood.
func TestScriptConsole(t *testing.T) {
	t.Parallel()
	var log scriptLog
	s := scriptOf(t, `console.log('loaded %s', process.env.STAGE, {a: 1}, typeof process.env.PATH);
		module.exports = (c, name, cb) => { console.error(new Error('shown')); for (let i = 0; i < 1e3; i++) console.warn('line'); cb('no') }`,
		ScriptOptions{Env: map[string]string{"STAGE": "test"}, Log: log.log})
	_, err := ask(t, s, "")
	checkRefusal(t, err, Forbidden, "no")
	text := log.String()
	if !strings.HasPrefix(text, `info: loaded test {"a":1} undefined`) || !strings.Contains(text, "error: Error: shown\n\tat policy.js:2:") {
		t.Errorf("log:\n%.300s", text)
	}
	if n := strings.Count(text, "warn: line"); n != maxScriptLines-1 {
		t.Errorf("%d lines, want %d", n, maxScriptLines-1)
	}
}
