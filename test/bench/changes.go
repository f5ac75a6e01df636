package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

// rowsServer answers _changes with many rows. They are a block of rows that is sent again and again: what a reader does with
// one does not depend on those before.
type rowsServer struct {
	server  *http.Server
	served  chan error
	url     string
	web     *http.Client
	rows    int
	rowSize int
	bytes   [2]int64 // of an ordinary and of a continuous answer
	blocks  [2][]byte
}

// blockRows is how many different rows there are.
const blockRows = 1000

func openRows(rows int) (*rowsServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &rowsServer{url: "http://" + l.Addr().String(), web: &http.Client{Transport: &http.Transport{DisableCompression: true}},
		rows: rows, served: make(chan error, 1)}
	s.blocks = [2][]byte{rowBlock(",\n"), rowBlock("\n")}
	s.rowSize = len(s.blocks[1]) / blockRows
	for i := range s.bytes {
		var counted counter
		if err := s.answer(&counted, i == 1); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		s.bytes[i] = int64(counted)
	}
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second}
	go func() { s.served <- s.server.Serve(l) }()
	return s, nil
}

// rowBlock has rows as CouchDB 3.5.0 sends them for a database of two shards.
func rowBlock(separator string) []byte {
	const seq = "-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTmXOBAuzGSSmJBolJ2DTgMSaPBUgyNACp_1DTWMCmmSelGpiaYTUtCwBKKyjV"
	var block bytes.Buffer
	for i := range blockRows {
		fmt.Fprintf(&block, `{"seq":"%d%s","id":"doc-%08d","changes":[{"rev":"1-%032x"}]}%s`, 100_000+i, seq, i, i, separator)
	}
	return block.Bytes()
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func (s *rowsServer) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = s.answer(w, r.URL.Query().Get("feed") == "continuous") // a reader that is gone will say why
}

// answer writes all rows.
func (s *rowsServer) answer(w io.Writer, continuous bool) error {
	block, head, tail := s.blocks[0], "{\"results\":[\n", "\n],\n\"last_seq\":\"1-x\",\"pending\":0}\n"
	if continuous {
		block, head, tail = s.blocks[1], "", "{\"last_seq\":\"1-x\",\"pending\":0}\n"
	}
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	for left := s.rows; left > 0; left -= blockRows {
		part := block
		if left <= blockRows {
			part = firstRows(block, left, continuous)
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, tail)
	return err
}

// firstRows are n rows, without a comma after the last one.
func firstRows(block []byte, n int, continuous bool) []byte {
	part := block[:len(block)/blockRows*n]
	if !continuous {
		part = bytes.TrimSuffix(part, []byte(",\n"))
	}
	return part
}

func (s *rowsServer) close() error {
	s.web.CloseIdleConnections()
	err := s.server.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
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
	want := s.bytes[0]
	if query != "" {
		want = s.bytes[1]
	}
	if err == nil && n != want {
		err = fmt.Errorf("%d bytes came, not %d", n, want)
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
