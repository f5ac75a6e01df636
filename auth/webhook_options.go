package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// WebhookOptions configures a [Webhook] policy.
type WebhookOptions struct {
	// URL is the endpoint, https. Plain http is taken for a loopback address and with AllowHTTP. A name and a password in it
	// are sent by HTTP basic authentication. Required.
	URL string
	// AllowHTTP allows a URL with http: whoever is between the bridge and the endpoint reads credentials and may grant.
	AllowHTTP bool
	// Secret is the key of the signature, at least 16 bytes. Empty: requests are not signed.
	Secret string
	// Cookies are the names of those that are passed on. Default: none.
	Cookies []string
	// Timeout is how long a decision may take, with everything: waiting for others, connecting, asking again, reading.
	// Choose it below that of the Decider. Default 3s.
	Timeout time.Duration
	// MaxInFlight is how many requests may be under way at a time, each with a connection of its own over HTTP/1. Default 64.
	MaxInFlight int
	// MaxAge is how long an answer that allows it is used again, at most. Default: answers are used once.
	MaxAge time.Duration
	// CacheSize is how many answers are kept, those used last. Default 10000.
	CacheSize int
	// BreakAfter is the number of failures in a row after which the endpoint is left alone. Default 5.
	BreakAfter int
	// BreakFor is how long it is left alone until one request is let through. Default 5s.
	BreakFor time.Duration
	// UserAgent is the header. Default "pouchbridge".
	UserAgent string
	// Transport makes the requests; it must honour their contexts. Default: one of its own, with the proxy of the environment
	// and the certificate authorities of the system.
	Transport http.RoundTripper
}

const minWebhookSecret = 16 // bytes

// check says what is wrong with the options, and which host they name.
func (o WebhookOptions) check() (host string, err error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" { // err would show the URL's password
		return "", errors.New("URL: must be like https://app.example/pouchbridge")
	}
	var faults []error
	note := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	note(u.Scheme != "https" && u.Scheme != "http", "URL: must begin with https://")
	note(u.Scheme == "http" && !o.AllowHTTP && !isLoopbackHost(u.Hostname()),
		"URL: is http: use https, or allow http if nobody can be between the bridge and the endpoint")
	note(o.Secret != "" && len(o.Secret) < minWebhookSecret, "Secret: has %d bytes; at least %d", len(o.Secret), minWebhookSecret)
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Timeout", o.Timeout}, {"MaxAge", o.MaxAge}, {"BreakFor", o.BreakFor}} {
		note(d.value < 0, "%s: is %s; must not be negative", d.name, d.value)
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"MaxInFlight", o.MaxInFlight}, {"CacheSize", o.CacheSize}, {"BreakAfter", o.BreakAfter}} {
		note(n.value < 0, "%s: is %d; must not be negative", n.name, n.value)
	}
	return u.Host, errors.Join(faults...)
}

// defaults fills in what is not set.
func (o *WebhookOptions) defaults() {
	setDefault(&o.Timeout, 3*time.Second)
	setDefault(&o.MaxInFlight, 64)
	setDefault(&o.CacheSize, 10_000)
	setDefault(&o.BreakAfter, 5)
	setDefault(&o.BreakFor, 5*time.Second)
	setDefault(&o.UserAgent, "pouchbridge")
	if o.Transport == nil {
		o.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           o.MaxInFlight,
			MaxIdleConnsPerHost:    o.MaxInFlight,
			IdleConnTimeout:        time.Minute,
			TLSHandshakeTimeout:    o.Timeout,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // so that the bound of an answer is that of what is read
		}
	}
}

func setDefault[T comparable](option *T, value T) {
	var unset T
	if *option == unset {
		*option = value
	}
}
