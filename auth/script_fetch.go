package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/dop251/goja"
)

const (
	maxFetches      = 16      // under way for one call
	maxFetchBody    = 1 << 20 // bytes, of a request and of an answer
	maxRedirections = 5
)

// scriptFetcher asks the URLs that a script is allowed to ask.
type scriptFetcher struct {
	allowed []*url.URL // their paths end with a slash, so that /v1 does not allow /v10
	client  http.Client
}

func newScriptFetcher(allow []string) (*scriptFetcher, error) {
	f := &scriptFetcher{}
	for _, text := range allow {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, errors.New("what fetch may ask must be http or https URLs without user and query")
		}
		f.allowed = append(f.allowed, directory(u))
	}
	f.client = http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: maxFetches,
			IdleConnTimeout:     30 * time.Second,
			TLSHandshakeTimeout: 5 * time.Second,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirections {
				return fmt.Errorf("more than %d redirects", maxRedirections)
			}
			return f.check(r.URL)
		},
	}
	return f, nil
}

// check refuses a URL that is not allowed. A path that means another one ("..", also percent-encoded) never is.
func (f *scriptFetcher) check(u *url.URL) error {
	whole := strings.TrimSuffix(u.Path, "/") + "/"
	if u.User == nil && (whole == "/" || path.Clean(u.Path)+"/" == whole) && !strings.Contains(u.Path, `\`) {
		for _, allowed := range f.allowed {
			if sameOrigin(u, allowed) && strings.HasPrefix(whole, allowed.Path) {
				return nil
			}
		}
	}
	return fmt.Errorf("%s://%s%s is not among the URLs that the configuration allows the policy to fetch", u.Scheme, u.Host, u.EscapedPath())
}

// fetched is an answer, read to its end.
type fetched struct {
	response *http.Response
	body     string
}

func (f *scriptFetcher) do(r *http.Request) (*fetched, error) {
	response, err := f.client.Do(r)
	if err != nil {
		var wrapped *url.Error // says the URL again, whose query may be a secret
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxFetchBody+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxFetchBody:
		return nil, fmt.Errorf("the answer has more than %d bytes", maxFetchBody)
	default:
		return &fetched{response, strings.ToValidUTF8(string(body), "\uFFFD")}, nil
	}
}

func (f *scriptFetcher) close() {
	if f != nil {
		f.client.CloseIdleConnections()
	}
}

// fetch is the host's fetch(url, method, headers, body, resolve, reject): resolve(status, statusText, url, headers, body),
// reject(message); headers are pairs.
func (rt *scriptRuntime) fetch(call goja.FunctionCall) goja.Value {
	c := rt.call
	resolve, _ := goja.AssertFunction(call.Argument(4))
	reject, _ := goja.AssertFunction(call.Argument(5))
	r, err := rt.fetchRequest(c.ctx, call)
	if err != nil {
		panic(rt.vm.NewTypeError("fetch: " + err.Error()))
	}
	c.fetching++
	c.fetches.Add(1)
	go func() {
		defer c.fetches.Done()
		answer, err := rt.script.fetcher.do(r)
		select {
		case <-c.ctx.Done():
		case c.events <- func() error { return c.fetched(answer, err, resolve, reject) }:
		}
	}()
	return goja.Undefined()
}

// fetchRequest is the request that a script asks for, if it is allowed.
func (rt *scriptRuntime) fetchRequest(ctx context.Context, call goja.FunctionCall) (*http.Request, error) {
	if rt.call.fetching >= maxFetches {
		return nil, fmt.Errorf("more than %d are under way", maxFetches)
	}
	u, err := url.Parse(call.Argument(0).String())
	if err != nil {
		return nil, errors.New("the URL is not valid")
	}
	if err := rt.script.fetcher.check(u); err != nil {
		return nil, err
	}
	var body io.Reader
	if value := call.Argument(3); !goja.IsNull(value) {
		text := value.String()
		if len(text) > maxFetchBody {
			return nil, fmt.Errorf("the body has more than %d bytes", maxFetchBody)
		}
		body = strings.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, call.Argument(1).String(), u.String(), body)
	if err != nil {
		return nil, errors.New("the method is not valid")
	}
	var pairs [][2]string
	if err := rt.vm.ExportTo(call.Argument(2), &pairs); err != nil {
		return nil, errors.New("the headers are not valid")
	}
	for _, pair := range pairs {
		r.Header.Set(pair[0], pair[1])
	}
	return r, nil
}

// fetched gives the script an answer or an error.
func (c *scriptCall) fetched(answer *fetched, fault error, resolve, reject goja.Callable) error {
	c.fetching--
	vm := c.rt.vm
	_, err := c.run(func() (goja.Value, error) {
		if fault != nil {
			return reject(goja.Undefined(), vm.ToValue("fetch: "+fault.Error()))
		}
		var headers []any
		for name, values := range answer.response.Header {
			headers = append(headers, vm.NewArray(name, strings.Join(values, ", ")))
		}
		statusText := strings.TrimSpace(strings.TrimPrefix(answer.response.Status, fmt.Sprint(answer.response.StatusCode)))
		return resolve(goja.Undefined(), vm.ToValue(answer.response.StatusCode), vm.ToValue(statusText),
			vm.ToValue(answer.response.Request.URL.String()), vm.NewArray(headers...), vm.ToValue(answer.body))
	})
	return err
}
