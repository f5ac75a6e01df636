package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func fullRequest() Request {
	return Request{
		Database: "todos", RemoteAddr: netip.MustParseAddrPort("192.0.2.1:4711"), Origin: "https://app.example.com", Dialect: "legacy", TLS: true,
		Header:  http.Header{"X-Tenant": {"a", "b"}},
		Cookies: []*http.Cookie{{Name: "__proto__", Value: "x"}},
		Previous: &Grant{Upstream: "eu", Database: "old", Access: ReadOnly, Subject: "alice", TokenID: "t1",
			Expires: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Identity: Identity{Kind: Bearer, Secret: "s3cret"}},
	}
}

// TestScriptAttacks: credentials "attack" run the attack, which is refused; then the policy still works.
//
// It runs alone: the heap is the whole process's, and so would be blamed on an attack whoever else uses it.
func TestScriptAttacks(t *testing.T) {
	for name, tt := range map[string]struct {
		body, want string
	}{
		"loop":                   {`while (true) {}`, "timed out"},
		"loop that catches":      {`while (true) { try { while (true) {} } catch (e) {} finally { continue } }`, "timed out"},
		"loop in a promise":      {`return Promise.resolve().then(() => { while (true) {} })`, "timed out"},
		"promises without end":   {`const f = () => { Promise.resolve().then(f) }; f()`, "timed out"},
		"loop in a timer":        {`setTimeout(() => { while (true) {} })`, "timed out"},
		"loop in a getter":       {`cb({get message() { while (true) {} }})`, "timed out"},
		"loop in a proxy":        {`cb(null, new Proxy({}, {get() { while (true) {} }}))`, "timed out"},
		"never calls back":       {`setInterval(() => {}, 10)`, "timed out"},
		"late":                   {`setTimeout(() => cb(null, new PouchDB(name)), 1000)`, "timed out"},
		"recursion":              {`(function f() { f() })()`, "nested too deeply"},
		"recursion that catches": {`(function f() { try { f() } catch (e) { f() } })()`, "nested too deeply"},
		"array growth":           {`const a = []; while (true) a.push('abc'.repeat(1000))`, "heap grew"},
		"string growth":          {`let s = 'x'; while (true) s += s`, "heap grew"},
		"objects":                {`const o = {}; for (let i = 0; ; i++) o['k' + i] = [i, i, i, i, i, i, i, i]`, "heap grew"},
		"growth by timers":       {`const a = []; setInterval(() => { for (let i = 0; i < 2e5; i++) a.push({i}) }, 1)`, "heap grew"},
		"timers":                 {`while (true) setTimeout(() => {}, 1e6)`, "too many timers"},
		"repeat":                 {`'x'.repeat(1e9)`, "RangeError"},
		"repeat beyond memory":   {`'x'.repeat(2 ** 40)`, "RangeError"},
		"padStart":               {`''.padStart(1e10)`, "RangeError"},
		"padEnd":                 {`''.padEnd(1e10)`, "RangeError"},
		"replaceAll":             {`const s = 'x'.repeat(1e6); s.replaceAll('x', s)`, "RangeError"},
		"join":                   {`const s = 'x'.repeat(1e6); Array(1e5).fill(s).join('')`, "RangeError"},
		"sparse array":           {`Array(4294967295)`, "RangeError"},
		"sparse array's join":    {`const a = []; a.length = 4294967295; a.join('x')`, "RangeError"},
		"sparse array's text":    {`const a = []; a.length = 4294967295; String(a)`, "RangeError"},
		"array-like":             {`Array.from({length: 1e9})`, "RangeError"},
		"array-like's indexOf":   {`[].indexOf.call({length: 1e15}, 1)`, "RangeError"},
		"apply":                  {`Math.max.apply(null, {length: 1e9})`, "RangeError"},
		"Reflect.apply":          {`Reflect.apply(Math.max, null, {length: 1e9})`, "RangeError"},
		"ArrayBuffer":            {`new ArrayBuffer(1e12)`, "RangeError"},
		"typed array":            {`new Uint8Array(1e10)`, "RangeError"},
		"typed array's maker":    {`new (new Uint8Array(1).constructor)(1e10)`, "RangeError"},
		"nested JSON":            {`JSON.parse('['.repeat(1e7))`, "RangeError"},
		"nested regexp":          {`new RegExp('('.repeat(1e6))`, "RangeError"},
		"nested match":           {`''.match('('.repeat(1e6))`, "RangeError"},
		"eval":                   {`eval('('.repeat(1e6))`, "EvalError"},
	} {
		t.Run(name, func(t *testing.T) {
			runtime.GC() // what the last attack left would let this one's garbage gather before it is collected
			timeout := 20 * time.Second
			if tt.want == "timed out" {
				timeout = 500 * time.Millisecond
			}
			s := scriptOf(t, `module.exports = function (credentials, name, cb) {
				if (credentials !== 'attack') return cb(null, new PouchDB(name));
				`+tt.body+`
			}`, ScriptOptions{Runtimes: 1, Timeout: timeout, MaxMemoryBytes: 32 << 20})
			_, err := ask(t, s, `"attack"`)
			checkRefusal(t, err, "", tt.want)
			if g, err := ask(t, s, ""); err != nil || g.Database != "todos" {
				t.Errorf("after the attack: %+v, %v", g, err)
			}
		})
	}
}

// TestScriptPollution: what credentials do to Object.prototype reaches neither a grant nor the next request.
func TestScriptPollution(t *testing.T) {
	t.Parallel()
	s := scriptOf(t, `function merge(into, from) {
			for (const key in from) {
				if (typeof from[key] === 'object') merge(into[key] = into[key] || {}, from[key]); else into[key] = from[key];
			}
			return into;
		}
		module.exports = (credentials, name, cb) => {
			const user = merge({}, credentials);
			if ({}.admin) return cb(null, new PouchDB('admin'));
			cb(null, {});
		}`, ScriptOptions{Runtimes: 1})
	for _, credentials := range []string{
		`{"__proto__":{"admin":true,"database":"x","access":"read-write"}}`,
		`{"constructor":{"prototype":{"admin":true}}}`,
		`{}`,
	} {
		_, err := ask(t, s, credentials)
		checkRefusal(t, err, "", "")
	}
}

// TestScriptPollutedOptions: options are an object's own members.
func TestScriptPollutedOptions(t *testing.T) {
	t.Parallel()
	s := scriptOf(t, `Object.prototype.access = 'none'; Object.prototype.design_docs = true; Object.prototype.upstream = 'x';
		module.exports = (c, name, cb) => cb(null, new PouchDB(name, Object.create({create: true})))`, ScriptOptions{})
	g, err := ask(t, s, "")
	if err != nil || g.Access != ReadWrite || g.DesignDocs || g.Create != nil || g.Upstream != "" {
		t.Errorf("grant %+v, error %v", g, err)
	}
}

// TestScriptCredentials: they reach the script as they are, or not at all.
func TestScriptCredentials(t *testing.T) {
	t.Parallel()
	s := scriptOf(t, `module.exports = (c, name, cb) => cb(new Error(c === undefined ? 'undefined' : JSON.stringify(c)))`, ScriptOptions{})
	for credentials, want := range map[string]string{
		"": "undefined", "null": "null", "{}": "{}", `{"a":[1,"ü\u0000"]}`: `{"a":[1,"ü\u0000"]}`, `{"__proto__":{"a":1}}`: `{"__proto__":{"a":1}}`,
	} {
		_, err := ask(t, s, credentials)
		checkRefusal(t, err, Forbidden, want)
	}
	for _, credentials := range []string{
		strings.Repeat("[", 2000) + strings.Repeat("]", 2000),
		strings.Repeat("[", 1<<19),
		`"` + strings.Repeat("x", 1<<20) + `"`,
	} {
		_, err := ask(t, s, credentials)
		checkRefusal(t, err, Unauthorized, "the credentials are too large")
	}
}

// TestScriptContext: a request ends with its context, whatever the script does.
func TestScriptContext(t *testing.T) {
	t.Parallel()
	s := scriptOf(t, `module.exports = () => { while (true) {} }`, ScriptOptions{Runtimes: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := s.OnRequest(ctx, Request{Database: "todos"})
	checkRefusal(t, err, "", "policy.js:1:")
	if !errors.Is(err, errScriptTimeout) {
		t.Error(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.OnRequest(cancelled, Request{Database: "todos"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestScriptBusy: a request waits for a runtime, no longer than it may take.
func TestScriptBusy(t *testing.T) {
	t.Parallel()
	s := scriptOf(t, `module.exports = (c, name, cb) => { setInterval(() => {}, 10); console.log('started') }`,
		ScriptOptions{Runtimes: 1, Timeout: 10 * time.Second})
	started := make(chan struct{})
	s.options.Log = func(string, string) { close(started) }
	first := make(chan error, 1)
	go func() {
		_, err := s.OnRequest(context.Background(), Request{})
		first <- err
	}()
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.OnRequest(ctx, Request{})
	checkRefusal(t, err, "", "all 1 runtimes are busy")
	if err := s.Close(); err != nil { // interrupts the first
		t.Error(err)
	}
	if err := <-first; !errors.Is(err, errScriptClosed) {
		t.Errorf("the first: %v", err)
	}
	if _, err := s.OnRequest(t.Context(), Request{}); err == nil {
		t.Error("granted after Close")
	}
}

// TestScriptConcurrency: many requests at a time each get their own answer.
func TestScriptConcurrency(t *testing.T) {
	t.Parallel()
	s := scriptOf(t, `module.exports = async (c, name) => {
		if (c.n % 3 === 0) await null;
		if (c.n % 3 === 1) await new Promise((ok) => setTimeout(ok, 1));
		return new PouchDB(name + c.n, {subject: 's' + c.n});
	}`, ScriptOptions{Runtimes: 4, Timeout: 30 * time.Second})
	var wg sync.WaitGroup
	for n := range 300 {
		wg.Go(func() {
			g, err := s.OnRequest(t.Context(), Request{Database: "db", Credentials: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))})
			if err != nil || g.Database != fmt.Sprint("db", n) || g.Subject != fmt.Sprint("s", n) {
				t.Errorf("%d: %+v, %v", n, g, err)
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil { // waits for the runtimes to come back
		t.Fatal(err)
	}
	if n := len(s.idle); n < 1 || n > 4 {
		t.Errorf("%d runtimes", n)
	}
}

// FuzzScriptCredentials: no credentials upset the engine or are granted.
func FuzzScriptCredentials(f *testing.F) {
	s, err := NewScript(ScriptOptions{File: "testdata/script/seed.js", Runtimes: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	for _, seed := range []string{"", "null", `{"token":"x"}`, `{"token":{"toString":1}}`, `[[[`, `"\ud800"`, `1e999`, `{"__proto__":{"token":"some token"}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, credentials string) {
		g, err := s.OnRequest(t.Context(), Request{Database: "todos", Credentials: json.RawMessage(credentials)})
		var c struct {
			Token any `json:"token"`
		}
		granted := json.Unmarshal([]byte(credentials), &c) == nil && strings.Contains(credentials, "oken")
		if err == nil && !granted {
			t.Errorf("%q is granted %+v", credentials, g)
		}
		if err != nil && strings.Contains(err.Error(), "engine panicked") {
			t.Error(err)
		}
	})
}
