package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/dop251/goja"
)

// ScriptOptions say which file a [Script] runs, and what it may use.
type ScriptOptions struct {
	// File is the path of the JavaScript file. Required. Modules it requires lie in its directory or below.
	File string
	// Timeout bounds a request, and the loading of the file. A request whose context ends sooner is bounded by nine tenths
	// of what the context leaves, so that the script's own report of the timeout still arrives. Default 5s.
	Timeout time.Duration
	// Runtimes is how many requests are decided at a time; the others wait. A runtime serves one request at a time, also
	// while that awaits a fetch or a timer, is made when first needed, and takes about half a megabyte. Default: 32, or
	// GOMAXPROCS if that is more.
	Runtimes int
	// MaxMemoryBytes is by how much the process's heap may grow while a request runs JavaScript. Default 128 MiB.
	MaxMemoryBytes uint64
	// MaxCallStack is how many calls may be nested. Default 1000.
	MaxCallStack int
	// Env are the variables that process.env shows, with their values. Default: none.
	Env map[string]string
	// FetchAllow are the URLs that fetch may ask, each with everything below its path: "https://users.example.com/v1".
	// Redirects that lead elsewhere fail. Default: none, fetch fails.
	FetchAllow []string
	// Upstreams are the names of the configured servers besides the default one.
	Upstreams []string
	// UpstreamURLs are the addresses of configured servers by name, "" for the default one, for scripts that say
	// new PouchDB("http://host:5984/db"). A URL of no configured server refuses the request. Default: every URL does.
	UpstreamURLs map[string]string
	// Create has a missing database created, as PouchDB itself does, where the options of new PouchDB do not say. Default
	// false: a database must exist unless the script says create: true.
	Create bool
	// Log takes what the script writes to its console, and what goes wrong after a request was answered. Level is debug,
	// info, warn or error. It is called from many goroutines. Default: dropped.
	Log func(level, message string)
}

// closeGrace is how long Close waits for calls that it has interrupted. Only a built-in function of the language that
// runs for long, such as a regular expression that backtracks, takes more than an instant.
const closeGrace = 5 * time.Second

var errScriptClosed = errors.New("the script policy is closed")

// Script is a policy written in JavaScript: onRequest(credentials, dbName, callback), as the servers of
// pouch-websocket-sync have it.
//
// The file is run as Node would run it. Its function is, in this order: what it passes to createServer of
// require("pouch-websocket-sync"), module.exports, exports.onRequest, or the top-level function onRequest. The function
// gets the credentials (undefined if none were sent), the name asked for, a callback, and the facts of the connection:
//
//	{remoteAddr, remotePort, origin, dialect, tls, headers, cookies, previous}
//
// It answers by callback(null, db), or by returning db or a promise of it, where db is new PouchDB(name, options). The
// options are the members of a grant, see [ParseGrant]; designDocs, docIds and tokenId may be written so, filter may be a
// name with query_params beside it, as in PouchDB, and access is read-write unless they say otherwise. A member that is
// undefined, null or unknown refuses the request; of PouchDB's own options adapter, auto_compaction, revs_limit and
// skip_setup are ignored.
//
// It refuses by callback(error), by throwing, or by a promise that rejects. The message of an Error (or a string) reaches
// the user. Its status, statusCode, code or name may be 401, 403, 404 or unauthorized, forbidden, not_found, unavailable;
// otherwise it is forbidden. The code abstain leaves the request to the next policy of a [Chain]. What the engine throws
// (TypeError, RangeError and the like), errors with a code like those of Node (ENOENT), status 500 and above, and what is
// no error at all go to the log and reach the user as a generic refusal. The first answer counts. A request that nothing
// can answer any more, because no timer or fetch is left, is refused at once.
//
// There are setTimeout, setInterval, setImmediate, queueMicrotask, promises and async functions, fetch (method, headers,
// string body; status, ok, headers.get, text, json; answers up to 1 MiB), URL, URLSearchParams, console, process.env and
// require of .js and .json files in the file's directory. There are no ES modules, no Buffer, crypto or other modules of
// Node, no eval. http.createServer and listen exist and do nothing: listening is the bridge's own work. What the script
// throws or writes to the console is logged as it is: credentials do not belong there.
//
// Runtimes are reused: as in Node, globals live on from request to request, but there is one set of them per runtime.
// Between requests nothing runs: timers end with the answer, a fetch that is under way may end until the timeout, and what
// the file itself starts is waited for while it is loaded. A runtime whose request ran into a limit is thrown away.
//
// Limits of the limits: JavaScript is interrupted between its operations, not within a built-in function. Those that make
// much of little (repeat, padStart, typed arrays, array functions by their length, nested JSON) have limits of their
// own, but a regular expression with lookahead or backreferences can still backtrack, and powers of BigInt can still grow:
// such a request is refused in time, while its goroutine runs on and keeps its runtime. The file is trusted like
// configuration; the credentials are not.
type Script struct {
	options  ScriptOptions
	program  *goja.Program
	prelude  *goja.Program
	modules  *scriptModules
	fetcher  *scriptFetcher
	servers  []scriptServer
	slots    chan struct{} // one element for each request that has a runtime
	listened sync.Once

	ctx  context.Context // ends with Close
	stop context.CancelFunc

	mu     sync.Mutex
	idle   []*scriptRuntime // the last one used is the next
	closed bool
	calls  sync.WaitGroup
}

// NewScript loads the file. An error in it says file, line and column.
func NewScript(options ScriptOptions) (*Script, error) {
	s := &Script{options: options.withDefaults()}
	s.slots = make(chan struct{}, s.options.Runtimes)
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("script %s: %w", options.File, err), s.Close())
	}
	return s, nil
}

func (o ScriptOptions) withDefaults() ScriptOptions {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Runtimes <= 0 {
		o.Runtimes = max(32, runtime.GOMAXPROCS(0))
	}
	if o.MaxMemoryBytes == 0 {
		o.MaxMemoryBytes = 128 << 20
	}
	if o.MaxCallStack <= 0 {
		o.MaxCallStack = 1000
	}
	if o.Log == nil {
		o.Log = func(string, string) {}
	}
	return o
}

// open makes everything that requests share, and the first runtime.
func (s *Script) open() (err error) {
	if s.servers, err = parseScriptServers(s.options.UpstreamURLs); err != nil {
		return err
	}
	if s.fetcher, err = newScriptFetcher(s.options.FetchAllow); err != nil {
		return err
	}
	if s.modules, err = openScriptModules(s.options.File); err != nil {
		return err
	}
	if s.prelude, err = goja.Compile("prelude", preludeSource, true); err != nil {
		return err
	}
	if s.program, err = s.modules.main(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.options.Timeout)
	defer cancel()
	rt, err := s.newRuntime(ctx)
	if err != nil {
		return err
	}
	s.idle = append(s.idle, rt)
	return nil
}

// OnRequest asks the script. The error is a [*Refusal] when the script refused in words meant for the user.
func (s *Script) OnRequest(ctx context.Context, r Request) (Grant, error) {
	if err := checkScriptCredentials(r.Credentials); err != nil {
		return Grant{}, err
	}
	bounded, cancel := context.WithTimeout(s.ctx, s.timeout(ctx))
	answers, err := s.start(ctx, bounded, cancel, r)
	if err != nil {
		cancel()
		return Grant{}, err
	}
	select {
	case a := <-answers:
		return a.grant, a.err
	case <-ctx.Done():
		return Grant{}, fmt.Errorf("script %s has not answered: %w", s.options.File, ctx.Err())
	case <-bounded.Done(): // the call answers that it was interrupted, unless it is stuck in a built-in function
	}
	stuck := time.NewTimer(s.options.Timeout/10 + 50*time.Millisecond)
	defer stuck.Stop()
	select {
	case a := <-answers:
		return a.grant, a.err
	case <-ctx.Done():
	case <-stuck.C:
	}
	return Grant{}, fmt.Errorf("script %s cannot be interrupted: %w", s.options.File, errScriptTimeout)
}

// timeout is how long a request under ctx may take.
func (s *Script) timeout(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(s.options.Timeout, time.Until(deadline)/10*9)
	}
	return s.options.Timeout
}

// start waits for a runtime and has it decide r in a goroutine of its own, bounded by bounded, which ends by cancel.
func (s *Script) start(ctx, bounded context.Context, cancel context.CancelFunc, r Request) (<-chan answer, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("script %s: all %d runtimes are busy: %w", s.options.File, s.options.Runtimes, ctx.Err())
	case <-bounded.Done():
		return nil, fmt.Errorf("script %s: all %d runtimes are busy: %w", s.options.File, s.options.Runtimes, bounded.Err())
	}
	rt, ok := s.take()
	if !ok {
		<-s.slots
		return nil, errScriptClosed
	}
	answers := make(chan answer, 1)
	go func() {
		defer s.calls.Done()
		defer cancel()
		rt, a := s.decide(bounded, rt, r, answers)
		s.give(rt)
		<-s.slots
		if a != nil { // last, so that whoever asks next finds the runtime
			answers <- *a
		}
	}()
	return answers, nil
}

// decide decides r, with a new runtime if rt is nil. It returns the runtime if it may be used again, and the answer if that
// has not been sent to answers yet.
func (s *Script) decide(ctx context.Context, rt *scriptRuntime, r Request, answers chan<- answer) (*scriptRuntime, *answer) {
	if rt == nil {
		var err error
		if rt, err = s.newRuntime(ctx); err != nil {
			return nil, &answer{err: fmt.Errorf("script %s: %w", s.options.File, err)}
		}
	}
	c := rt.decide(ctx, r, answers)
	if c.broken != nil {
		rt = nil
	}
	return rt, c.undelivered
}

// take counts a call in. The runtime is nil if one has to be made.
func (s *Script) take() (*scriptRuntime, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false
	}
	s.calls.Add(1)
	last := len(s.idle) - 1
	if last < 0 {
		return nil, true
	}
	rt := s.idle[last]
	s.idle[last] = nil
	s.idle = s.idle[:last]
	return rt, true
}

// give puts a runtime back; nil was thrown away.
func (s *Script) give(rt *scriptRuntime) {
	if rt == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, rt)
}

// Close interrupts the requests that run and waits for them. It may be called again.
func (s *Script) Close() error {
	s.stop()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.calls.Wait()
		close(ended)
	}()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		return fmt.Errorf("script %s: %d requests cannot be interrupted", s.options.File, len(s.slots))
	}
	s.fetcher.close()
	return s.modules.close()
}
