package auth

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// fetchServer is what the tests fetch from: an echo, answers of all kinds, and redirects.
func fetchServer(t *testing.T) *httptest.Server {
	t.Helper()
	hang := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"method":%q,"header":%q,"body":%q}`, r.Method, r.Header.Get("X-Key"), body)
	})
	mux.HandleFunc("/v1/large", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(neverEnding('x'), 10<<20))
	})
	mux.HandleFunc("/v1/hang", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/v1/to", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("u"), http.StatusFound)
	})
	mux.HandleFunc("/v1/self", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/v1/self", http.StatusFound) })
	mux.HandleFunc("/secret", func(w http.ResponseWriter, r *http.Request) { t.Error("the secret was fetched") })
	mux.HandleFunc("/v10", func(w http.ResponseWriter, r *http.Request) { t.Error("a path that is not allowed was fetched") })
	server := httptest.NewServer(mux)
	t.Cleanup(func() { close(hang); server.Close() })
	return server
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

// TestScriptFetch: what the script makes of an answer is the name of the database; without one, the log has the error.
func TestScriptFetch(t *testing.T) {
	t.Parallel()
	server := fetchServer(t)
	for name, tt := range map[string]struct {
		body, want, err string
	}{
		"get":               {`const r = await fetch(URL_ + '/v1/echo'); return [r.status, r.ok, r.statusText, r.headers.get('x-answer'), r.headers.has('x-none'), (await r.json()).method].join()`, "201,true,Created,yes,false,GET", ""},
		"post":              {`const r = await fetch(URL_ + '/v1/echo', {method: 'post', headers: {'X-Key': 'k'}, body: JSON.stringify({a: 1})}); return await r.text()`, `{"method":"POST","header":"k","body":"{\"a\":1}"}`, ""},
		"not found":         {`const r = await fetch(new URL('/v1/none', URL_)); return [r.status, r.ok].join()`, "404,false", ""},
		"redirect":          {`const r = await fetch(URL_ + '/v1/to?u=/v1/echo'); return [r.status, r.url === URL_ + '/v1/echo'].join()`, "201,true", ""},
		"many":              {`const all = await Promise.all(Array.from({length: 10}, () => fetch(URL_ + '/v1/echo'))); return all.map((r) => r.status).join('')`, strings.Repeat("201", 10), ""},
		"redirect away":     {`await fetch(URL_ + '/v1/to?u=/secret')`, "", "not among the URLs"},
		"redirect to host":  {`await fetch(URL_ + '/v1/to?u=http://localhost:1/v1/')`, "", "not among the URLs"},
		"redirect for ever": {`await fetch(URL_ + '/v1/self')`, "", "redirects"},
		"not JSON":          {`await (await fetch(URL_ + '/v1/none')).json()`, "", "SyntaxError"},
		"large":             {`await fetch(URL_ + '/v1/large')`, "", "more than 1048576 bytes"},
		"hang":              {`await fetch(URL_ + '/v1/hang')`, "", "timed out: 1 fetches"},
		"too many":          {`await Promise.all(Array.from({length: 100}, () => fetch(URL_ + '/v1/hang')))`, "", "more than 16 are under way"},
		"other path":        {`await fetch(URL_ + '/secret')`, "", "not among the URLs"},
		"prefix of path":    {`await fetch(URL_ + '/v10')`, "", "not among the URLs"},
		"dots":              {`await fetch(URL_ + '/v1/../secret')`, "", "not among the URLs"},
		"encoded dots":      {`await fetch(URL_ + '/v1/%2e%2e/secret')`, "", "not among the URLs"},
		"encoded slash":     {`await fetch(URL_ + '/v1/..%2fsecret')`, "", "not among the URLs"},
		"other host":        {`await fetch('http://169.254.169.254/v1/latest')`, "", "not among the URLs"},
		"user":              {`await fetch(URL_.replace('//', '//user:pw@') + '/v1/echo')`, "", "not among the URLs"},
		"user as host":      {`await fetch(URL_ + '@localhost:1/v1/')`, "", "fetch: "},
		"file":              {`await fetch('file:///v1/etc/passwd')`, "", "not among the URLs"},
		"no URL":            {`await fetch('::')`, "", "the URL is not valid"},
		"bad method":        {`await fetch(URL_ + '/v1/echo', {method: 'A B'})`, "", "the method is not valid"},
		"bad header":        {`await fetch(URL_ + '/v1/echo', {headers: {'a\nb': 'c'}})`, "", "fetch: "},
		"body object":       {`await fetch(URL_ + '/v1/echo', {method: 'POST', body: {}})`, "", "must be a string"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scriptOf(t, `const URL_ = process.env.URL; module.exports = async () => { const name = await (async () => {`+tt.body+`})(); return new PouchDB(name || 'nothing') }`,
				ScriptOptions{Timeout: time.Second, FetchAllow: []string{server.URL + "/v1"}, Env: map[string]string{"URL": server.URL}})
			g, err := ask(t, s, "")
			if tt.want == "" {
				checkRefusal(t, err, "", tt.err)
			} else if err != nil || g.Database != tt.want {
				t.Errorf("%q, %v; want %q", g.Database, err, tt.want)
			}
		})
	}
}

// TestScriptFetchAfterAnswer: a fetch that the answer does not wait for is finished, timers are not.
func TestScriptFetchAfterAnswer(t *testing.T) {
	t.Parallel()
	server := fetchServer(t)
	lines := make(chan string, 10)
	s := scriptOf(t, `module.exports = (c, name, cb) => {
		fetch(process.env.URL).then((r) => console.log('audited', r.status)).then(() => { throw new Error('after') });
		setTimeout(() => console.log('timer'), 1);
		cb(null, new PouchDB(name));
	}`, ScriptOptions{FetchAllow: []string{server.URL + "/v1"}, Env: map[string]string{"URL": server.URL + "/v1/echo"},
		Log: func(level, message string) { lines <- level + ": " + message }})
	if _, err := ask(t, s, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"info: audited 201", "error: after its answer"} {
		if line := <-lines; !strings.HasPrefix(line, want) {
			t.Errorf("logged %q, want %q", line, want)
		}
	}
}

// TestScriptFetchAllow are the URLs that can be allowed.
func TestScriptFetchAllow(t *testing.T) {
	t.Parallel()
	file := scriptFiles(t, map[string]string{"policy.js": "function onRequest() {}"})
	for _, bad := range []string{"", "example.com", "ftp://example.com/", "https://user:pw@example.com/", "https://example.com/?x", "https://"} {
		if s, err := NewScript(ScriptOptions{File: file, FetchAllow: []string{bad}}); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: %v, %v", bad, s, err)
		}
	}
	f, err := newScriptFetcher([]string{"https://Example.com:443"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"https://example.com": true, "https://EXAMPLE.com/a/b/?q#f": true, "https://example.com:443/": true,
		"http://example.com/": false, "https://example.com:444/": false, "https://a.example.com/": false, "https://example.com//a": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.check(u); (err == nil) != want {
			t.Errorf("%s: %v, want %t", text, err, want)
		}
	}
}
