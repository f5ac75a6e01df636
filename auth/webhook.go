package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Webhook asks an HTTP endpoint. Every request is a POST of this JSON object, in which nothing is missing but what is
// said to be optional:
//
//	{
//	  "credentials": …,                     what the client sent, byte for byte; absent if it sent none
//	  "database": "todos",                  the name asked for, not validated
//	  "remote_addr": "203.0.113.7",         without the port; empty if unknown
//	  "origin": "https://app.example",      empty: no browser
//	  "dialect": "legacy",
//	  "tls": true,
//	  "headers": {"X-Tenant": "a, b"},      those that the bridge is configured to pass on; Cookie never
//	  "cookies": {"sid": "…"},              those of [WebhookOptions.Cookies], and only with an origin (not "null")
//	  "previous": {"upstream": "", "database": "todos-7", "access": "read-write", "subject": "alice",
//	    "token_id": "", "expires": "2026-09-21T14:13:20Z"}
//	}                                       the grant asked about again, see [Request.Previous]; absent on a first
//	                                        request, and so is expires in it for a grant without end
//
// The answer has the status 200, the Content-Type application/json, at most 64 KiB, and one of three objects:
//
//	{"database": "todos-7", "access": "read-write", …}      a grant, see [ParseGrant]
//	{"refuse": {"code": "forbidden", "message": "…"}}       a [Refusal]; message is optional
//	{"abstain": true}                                       see [Abstain]
//
// Every other status refuses: 401, 403 and 404 as unauthorized, forbidden and not_found, with the message of a JSON body
// {"message": "…"}; all else as unavailable. Redirects are not followed: credentials go where they were configured to go.
// A message is for the user, at most 300 bytes in one line, or else the user reads a plain sentence for the code.
//
// # Who is asking
//
// With a secret each request has the header
//
//	Pouchbridge-Signature: t=1790000000,v1=<hexadecimal HMAC-SHA256 of t, a dot and the body, keyed with the secret>
//
// so that the endpoint need not answer anybody else. To verify it, for example in Node.js, body being the bytes received:
//
//	const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(req.headers["pouchbridge-signature"]) ?? [];
//	const ours = crypto.createHmac("sha256", secret).update(`${t}.`).update(body).digest();
//	const same = v1 !== undefined && crypto.timingSafeEqual(ours, Buffer.from(v1, "hex"));
//	if (!same || Math.abs(Date.now() / 1000 - t) > 300) {
//	  return res.writeHead(400).end(); // not 401, which would blame the user
//	}
//
// # Asked again
//
// The endpoint decides and does nothing else: being asked twice must make no difference. On that the bridge relies. It
// repeats a request once, within the timeout, if no connection came about, if a kept connection turns out to have been
// closed, or if the answer is 502, 503 or 504; and while a request is under way, one that is identical waits for its answer.
//
// An answer may be used again if it says so with Cache-Control: max-age=N, for N seconds but not longer than
// [WebhookOptions.MaxAge], for requests with the same body, and so the same credentials and address. A grant is not used
// after it has expired, and one that has a secret in its identity is not kept at all, nor is an answer with no-store or
// no-cache. Refusals and abstentions are kept for 5s at most. A request about a previous grant is never answered from what
// is kept, and has it dropped.
//
// # Out of order
//
// At most [WebhookOptions.MaxInFlight] requests are under way; others wait, at most 1024 of them. After
// [WebhookOptions.BreakAfter] failures in a row requests are refused as unavailable at once, and every
// [WebhookOptions.BreakFor] one is let through to see; the first that is answered ends it. A failure is that no answer
// comes in time, or 502, 503 or 504. Any other answer is none, however bad: else a client whose credentials upset the
// endpoint could shut the door for all.
//
// Errors name the endpoint's host and what went wrong there, never its path, nor anything that was sent or answered.
type Webhook struct {
	options WebhookOptions // with defaults
	host    string         // for errors
	client  *http.Client
	slots   chan struct{} // one element for each request under way
	breaker breaker
	ctx     context.Context // of all requests; ends with Close
	cancel  context.CancelFunc
	calls   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	pending int // calls that have not ended
	shared  map[webhookKey]*webhookCall
	kept    *decisionCache
}

// maxPending bounds the calls of all clients, those waiting for a slot included.
const maxPending = 1024

// webhookCall is a request under way.
type webhookCall struct {
	done     chan struct{} // closed when decision is there
	decision decision
	key      webhookKey
	forgot   bool // the decision must not be kept; guarded by Webhook.mu
}

// decision is what an answer means.
type decision struct {
	grant Grant
	err   error
	keep  time.Duration // how long it may be used again
}

var errWebhookClosed = errors.New("webhook policy is closed")

// NewWebhook makes a policy without touching the network. An error is a fault of the options, one line for each. The
// policy is to be closed.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	host, err := o.check()
	if err != nil {
		return nil, err
	}
	o.defaults()
	ctx, cancel := context.WithCancel(context.Background())
	return &Webhook{
		options: o,
		host:    host,
		client:  &http.Client{Transport: o.Transport, CheckRedirect: stayAtURL},
		slots:   make(chan struct{}, o.MaxInFlight),
		breaker: breaker{threshold: o.BreakAfter, pause: o.BreakFor},
		ctx:     ctx,
		cancel:  cancel,
		shared:  map[webhookKey]*webhookCall{},
		kept:    newDecisionCache(o.CacheSize),
	}, nil
}

// OnRequest asks the endpoint, unless it has just said. What a grant refers to (selector, roles and so on) may be shared with
// other grants and must not be changed.
func (w *Webhook) OnRequest(ctx context.Context, r Request) (Grant, error) {
	body, key, err := w.options.body(r)
	if err != nil {
		return Grant{}, err
	}
	call, err := w.join(key, body, r.Previous == nil)
	if err != nil {
		return Grant{}, fmt.Errorf("webhook %s: %w", w.host, err)
	}
	select {
	case <-call.done:
		return call.decision.grant, call.decision.err
	case <-ctx.Done():
		return Grant{}, fmt.Errorf("webhook %s has not answered: %w", w.host, ctx.Err())
	}
}

// Forget drops the answers that are kept, so that what was revoked is not granted again from memory.
func (w *Webhook) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = newDecisionCache(w.options.CacheSize)
	for key := range w.shared {
		w.forget(key)
	}
}

// Close ends requests under way and idle connections, and waits for them. Requests made after it are refused.
func (w *Webhook) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.calls.Wait()
	w.client.CloseIdleConnections()
	return nil
}

// join returns the call whose decision answers the request: an old one if share allows it, or a new one. A call does not end
// with the client that caused it: others may be waiting, and it ends soon anyhow.
func (w *Webhook) join(key webhookKey, body []byte, share bool) (*webhookCall, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errWebhookClosed
	}
	if !share {
		w.forget(key)
	} else if call := w.known(key); call != nil {
		return call, nil
	}
	switch {
	case w.breaker.isOpen():
		return nil, errBreakerOpen
	case w.pending >= maxPending:
		return nil, fmt.Errorf("%d requests have not been answered", w.pending)
	}
	call := &webhookCall{done: make(chan struct{}), key: key, forgot: !share}
	if share {
		w.shared[key] = call
	}
	w.pending++
	w.calls.Go(func() { w.run(call, body) })
	return call, nil
}

// known is a call that is under way or whose decision is kept. w.mu is held.
func (w *Webhook) known(key webhookKey) *webhookCall {
	if call := w.shared[key]; call != nil {
		return call
	}
	return w.kept.get(key)
}

// forget has a kept decision dropped, and one that is under way not kept. w.mu is held.
func (w *Webhook) forget(key webhookKey) {
	w.kept.drop(key)
	if call := w.shared[key]; call != nil {
		call.forgot = true
		delete(w.shared, key)
	}
}

// run gives call its decision, whatever happens.
func (w *Webhook) run(call *webhookCall, body []byte) {
	defer func() {
		if v := recover(); v != nil { // of a Transport, say: here it would end the process, and not just the request
			call.decision = decision{err: fmt.Errorf("webhook %s: panicked: %v", w.host, v)}
		}
		w.finish(call)
	}()
	call.decision = w.ask(body)
	if call.decision.err != nil && isFailure(call.decision.err) {
		call.decision.err = fmt.Errorf("webhook %s: %w", w.host, call.decision.err)
	}
}

func (w *Webhook) finish(call *webhookCall) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending--
	if w.shared[call.key] == call {
		delete(w.shared, call.key)
	}
	if keep := call.decision.keep; keep > 0 && !call.forgot {
		w.kept.put(call.key, call, time.Now().Add(keep))
	}
	close(call.done)
}
