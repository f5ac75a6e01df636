package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	maxAnswer      = 64 << 10 // bytes
	webhookRepeat  = 100 * time.Millisecond
	webhookDrained = 4 << 10 // bytes of an answer nobody wants that are read to keep its connection
)

// webhookAnswer is what came back.
type webhookAnswer struct {
	status int
	header http.Header
	body   []byte // of a status that has a meaning; at most maxAnswer and one byte
}

// isDown tells whether a proxy, or the endpoint itself, says that the endpoint is not there.
func (a webhookAnswer) isDown() bool {
	switch a.status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// ask makes the request when it is its turn, and says what the answer means.
func (w *Webhook) ask(body []byte) decision {
	ctx, cancel := context.WithTimeout(w.ctx, w.options.Timeout)
	defer cancel()
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return decision{err: fmt.Errorf("%d requests have not been answered: %w", cap(w.slots), ctx.Err())}
	}
	if !w.breaker.allow() {
		return decision{err: errBreakerOpen}
	}
	answer, err := w.send(ctx, body)
	if w.ctx.Err() != nil {
		return decision{err: errWebhookClosed}
	}
	w.breaker.record(err == nil && !answer.isDown())
	if err != nil {
		return decision{err: err}
	}
	return w.options.judge(answer)
}

// send posts body, and once more if that can help and is safe: the first request never reached the endpoint, or the
// endpoint was said not to be there. The latter may be wrong, but being asked twice makes no difference to the endpoint.
func (w *Webhook) send(ctx context.Context, body []byte) (webhookAnswer, error) {
	answer, sent, err := w.post(ctx, body)
	if err != nil && sent || err == nil && !answer.isDown() {
		return answer, err
	}
	pause := time.NewTimer(webhookRepeat)
	defer pause.Stop()
	select {
	case <-pause.C:
		answer, _, err = w.post(ctx, body)
	case <-ctx.Done():
	}
	return answer, err
}

// post makes one request. An error came with sent if the endpoint may have got it.
func (w *Webhook) post(ctx context.Context, body []byte) (_ webhookAnswer, sent bool, _ error) {
	var headersSent atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { headersSent.Store(true) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodPost, w.options.URL, bytes.NewReader(body))
	if err != nil {
		return webhookAnswer{}, false, errors.New("no request can be made of the URL")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", w.options.UserAgent)
	req.Header["Idempotency-Key"] = nil // not sent: lets http.Transport repeat on a kept connection that was closed
	if w.options.Secret != "" {
		req.Header.Set("Pouchbridge-Signature", sign(w.options.Secret, time.Now(), body))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return webhookAnswer{}, headersSent.Load(), callError(err)
	}
	defer resp.Body.Close()
	answer, err := readAnswer(resp)
	return answer, true, err
}

func readAnswer(resp *http.Response) (webhookAnswer, error) {
	answer := webhookAnswer{status: resp.StatusCode, header: resp.Header}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
	default:
		if 0 <= resp.ContentLength && resp.ContentLength <= webhookDrained {
			_, _ = io.Copy(io.Discard, resp.Body) // for the connection only: the status says it all
		}
		return answer, nil
	}
	var err error
	if answer.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return answer, fmt.Errorf("reading the answer: %w", callError(err))
	}
	return answer, nil
}

// callError takes the URL out of an error, and every text that may have come from the endpoint, as the parser of HTTP quotes
// what it cannot read.
func callError(err error) error {
	var whole *url.Error
	if errors.As(err, &whole) {
		err = whole.Err
	}
	var network net.Error
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	case errors.As(err, &network), errors.As(err, &certificate), errors.As(err, &record),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, http.ErrSchemeMismatch):
		return err
	}
	return fmt.Errorf("no HTTP answer (%T)", err)
}
