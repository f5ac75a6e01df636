package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	jwksPause    = 10 * time.Second // between the end of a fetch and the next, whoever asks for it
	jwksTimeout  = 10 * time.Second
	maxJWKSBytes = 1 << 20 // bytes of an answer
)

// errNotFetched is the cause of a refusal before the first answer.
var errNotFetched = errors.New("the keys have not been fetched yet")

// remoteKeys keeps a copy of the JSON Web Key Set at a URL. It is the reading half of package keyfunc's job; the fetching
// is done here, since keyfunc reads answers of any length, waits for the first one, and leaves behind a goroutine that
// nobody can wait for.
type remoteKeys struct {
	url      string
	interval time.Duration
	client   *http.Client
	report   func(keys int, err error) // may be nil
	fixed    keySet                    // keys of the configuration, beside those of the URL

	current atomic.Pointer[fetchedKeys]
	wanted  chan struct{} // asks for a fetch before its time
	cancel  context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended
}

// fetchedKeys is what there is after a fetch.
type fetchedKeys struct {
	keys keySet
	err  error         // why keys may be out of date
	at   time.Time     // the end of the fetch; zero: there was none
	next chan struct{} // closed when there is a newer one
}

// startRemoteKeys starts the goroutine that fetches; close ends it.
func startRemoteKeys(o JWTOptions, fixed keySet) *remoteKeys {
	transport := o.JWKSTransport
	if transport == nil {
		// Fetches are so rare that a connection is not worth keeping.
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &remoteKeys{
		url:      o.JWKSURL,
		interval: o.JWKSInterval,
		client:   &http.Client{Transport: transport, CheckRedirect: stayAtURL},
		report:   o.OnJWKS,
		fixed:    fixed,
		wanted:   make(chan struct{}, 1),
		cancel:   cancel,
		done:     make(chan struct{}),
	}
	r.current.Store(&fetchedKeys{keys: fixed, err: errNotFetched, next: make(chan struct{})})
	go r.run(ctx)
	return r
}

// stayAtURL makes a redirection the answer: following it would take keys from where nobody configured.
func stayAtURL(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (r *remoteKeys) close() {
	r.cancel()
	<-r.done
}

// run fetches at the start, then when it is time or somebody asks.
func (r *remoteKeys) run(ctx context.Context) {
	defer close(r.done)
	for {
		wait := r.interval
		if !r.refresh(ctx) {
			wait = jwksPause
		}
		timer := time.NewTimer(wait)
		if !r.sleep(ctx, timer.C) {
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// sleep waits for the time of the next fetch, and tells whether to go on. Somebody who asked while the last fetch was under
// way has been answered by it.
func (r *remoteKeys) sleep(ctx context.Context, timer <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer:
			return true
		case <-r.wanted:
			if !r.current.Load().isRecent() {
				return true
			}
		}
	}
}

func (f *fetchedKeys) isRecent() bool { return time.Since(f.at) < jwksPause }

// refresh fetches, makes known what came of it, and tells whether it went well.
func (r *remoteKeys) refresh(ctx context.Context) bool {
	old := r.current.Load()
	fetched := &fetchedKeys{keys: old.keys, next: make(chan struct{})}
	keys, faults, err := r.fetch(ctx)
	if err == nil {
		fetched.keys = append(r.fixed[:len(r.fixed):len(r.fixed)], keys...)
		if len(keys) == 0 {
			err = errors.New("the JSON Web Key Set has no key that can be used")
		}
	}
	fetched.err = err
	if ctx.Err() != nil { // closed: that says nothing about the URL
		return false
	}
	fetched.at = time.Now()
	r.current.Store(fetched)
	close(old.next)
	if r.report != nil {
		r.report(len(keys), errors.Join(err, faults))
	}
	return err == nil
}

// fetch gets the set: its usable keys, what is wrong with others, and why there is none.
func (r *remoteKeys) fetch(ctx context.Context) (keys keySet, faults, err error) {
	ctx, cancel := context.WithTimeout(ctx, jwksTimeout)
	defer cancel()
	body, err := r.get(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("fetch the JSON Web Key Set: %w", err)
	}
	all, faults, err := parseJWKS(body)
	for _, k := range all {
		if _, secret := k.key.([]byte); secret {
			faults = errors.Join(faults, fmt.Errorf("kid %.100q: a symmetric key is not taken from a URL", k.kid))
			continue
		}
		keys = append(keys, k)
	}
	return keys, faults, err
}

// get reads the answer. Its errors do not show the URL, which may have a password.
func (r *remoteKeys) get(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, errors.New("the URL cannot be used")
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := r.client.Do(request)
	if err != nil {
		if urlError, ok := errors.AsType[*url.Error](err); ok {
			err = urlError.Err
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status is %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxJWKSBytes+1))
	if err == nil && len(body) > maxJWKSBytes {
		err = errors.New("the answer is longer than 1 MiB")
	}
	return body, err
}

// find finds the key of a token; a name that is not known has the set fetched, unless that was done a moment ago. The
// error is a [*Refusal].
func (r *remoteKeys) find(ctx context.Context, h tokenHeader) (any, error) {
	now := r.current.Load()
	key, err := now.keys.find(h)
	if errors.Is(err, errUnknownKey) && !now.isRecent() {
		now = r.renew(ctx, now)
		key, err = now.keys.find(h)
	}
	switch {
	case err == nil:
		return key, nil
	case errors.Is(err, errUnknownKey) && (now.err != nil || ctx.Err() != nil):
		return nil, &Refusal{Code: Unavailable, Err: errors.Join(err, now.err, ctx.Err())}
	default:
		return nil, badJWT(err)
	}
}

// renew has the set fetched and waits for it. It returns old if ctx or the goroutine ends before.
func (r *remoteKeys) renew(ctx context.Context, old *fetchedKeys) *fetchedKeys {
	select {
	case r.wanted <- struct{}{}:
	default: // somebody else has asked
	}
	select {
	case <-old.next:
	case <-ctx.Done():
	case <-r.done:
	}
	return r.current.Load()
}
