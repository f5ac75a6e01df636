package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"pouchbridge/couch"
)

// streamedChanges compares reading rows of _changes with copying the same bytes, both over HTTP from a server in this process.
func (b *bench) streamedChanges(ctx context.Context) (report, error) {
	server, err := openRows(b.rows)
	if err != nil {
		return report{}, err
	}
	r, err := b.compareReaders(ctx, server)
	return r, errors.Join(err, server.close())
}

// reading is one way to read all rows.
type reading struct {
	name string
	read func(context.Context, *rowsServer) error
}

func readings() []reading {
	return []reading{
		{"`io.Copy`, ordinary", func(ctx context.Context, s *rowsServer) error { return s.copyAll(ctx, "") }},
		{"`couch`, ordinary", func(ctx context.Context, s *rowsServer) error { return s.readAll(ctx, couch.ChangesOptions{}) }},
		{"`io.Copy`, continuous", func(ctx context.Context, s *rowsServer) error { return s.copyAll(ctx, "?feed=continuous") }},
		{"`couch`, continuous", func(ctx context.Context, s *rowsServer) error {
			return s.readAll(ctx, couch.ChangesOptions{Feed: couch.Continuous})
		}},
	}
}

func (b *bench) compareReaders(ctx context.Context, server *rowsServer) (report, error) {
	all := readings()
	times := make([][]time.Duration, len(all))
	for range b.runs {
		for i, r := range all {
			began := time.Now()
			if err := r.read(ctx, server); err != nil {
				return report{}, fmt.Errorf("%s: %w", r.name, err)
			}
			times[i] = append(times[i], time.Since(began))
		}
	}
	detail := table{
		title: fmt.Sprintf("%s rows of `_changes`, %d bytes each, read and discarded, %d runs of each in turns:", number(b.rows), server.rowSize, b.runs),
		head:  []string{"reader", "least", "median", "most", "rows a second", "rate against `io.Copy`"},
	}
	shares := make([]float64, len(all))
	for i, r := range all {
		middle := median(times[i])
		shares[i] = float64(median(times[i/2*2])) / float64(middle)
		detail.rows = append(detail.rows, []string{r.name, seconds(slices.Min(times[i])), seconds(middle), seconds(slices.Max(times[i])),
			number(int64(float64(b.rows) / middle.Seconds())), fmt.Sprintf("%.0f %%", 100*shares[i])})
	}
	return report{
		rows: []row{{measure: number(b.rows) + " rows of `_changes` streamed to a reader that discards", against: "`io.Copy` of the same answer",
			mustBe: "at least 50 % of its rate", measured: fmt.Sprintf("%.0f %%; of a continuous feed %.0f %%", 100*shares[1], 100*shares[3]),
			met: min(shares[1], shares[3]) >= 0.5}},
		details: []table{detail},
	}, nil
}

// copyAll copies the answer to nowhere.
func (s *rowsServer) copyAll(ctx context.Context, query string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/bench/_changes"+query, nil)
	if err != nil {
		return err
	}
	response, err := s.web.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if least := int64(s.rows) * int64(s.rowSize); err == nil && n < least {
		err = fmt.Errorf("%d bytes came, not %d or more", n, least)
	}
	return err
}

// readAll reads the rows of the answer with package couch.
func (s *rowsServer) readAll(ctx context.Context, o couch.ChangesOptions) error {
	client, err := couch.New(s.url, couch.Options{})
	if err != nil {
		return err
	}
	defer client.Close()
	db, err := client.Database("bench")
	if err != nil {
		return err
	}
	changes, err := db.Changes(ctx, o)
	if err != nil {
		return err
	}
	defer changes.Close()
	for n := 0; ; n++ {
		if _, err := changes.Next(); errors.Is(err, io.EOF) {
			if n != s.rows {
				return fmt.Errorf("%d rows came, not %d", n, s.rows)
			}
			return nil
		} else if err != nil {
			return err
		}
	}
}
