package main

import (
	"context"
	"errors"
	"fmt"
)

// requests counts what a pull and a push cost upstream, in runs of their own: a proxy on one side of the bridge counts its
// requests, a relay on the other side the calls of the client.
func (b *bench) requests(ctx context.Context) (report, error) {
	detail := table{
		title: fmt.Sprintf("What a real client with %s documents calls, and what the bridge asks of the upstream for it, the first connection included:", number(b.docs)),
		head:  []string{"direction", "calls of the client", "requests of the bridge", "calls for each request"},
	}
	var calls, requests int64
	for _, direction := range []string{"pull", "push"} {
		c, r, err := b.countRequests(ctx, direction)
		if err != nil {
			return report{}, fmt.Errorf("%s: %w", direction, err)
		}
		detail.rows = append(detail.rows, []string{direction, number(c), number(r), fmt.Sprintf("%.1f", float64(c)/float64(r))})
		calls, requests = calls+c, requests+r
	}
	fewer := float64(calls) / float64(requests)
	return report{
		rows: []row{{measure: "upstream requests for that pull and push", against: "one request for each call of the client: " + number(calls),
			mustBe: "20 times fewer", measured: fmt.Sprintf("%s: %.1f times fewer", number(requests), fewer), met: fewer >= 20}},
		details: []table{detail},
	}, nil
}

func (b *bench) countRequests(ctx context.Context, direction string) (calls, requests int64, err error) {
	err = b.withProxied(ctx, func(br *bridge, p *proxy) error {
		relay, err := openRelay(br.url)
		if err != nil {
			return err
		}
		before := p.requests.Load()
		_, err = b.replicate(ctx, &bridgeContender{b.upstream, br, relay.url, b.docs}, direction)
		calls, requests = relay.calls.Load(), p.requests.Load()-before
		return errors.Join(err, relay.close())
	})
	if err == nil && (calls == 0 || requests == 0) {
		err = fmt.Errorf("%d calls and %d requests were counted, which cannot be", calls, requests)
	}
	return calls, requests, err
}
