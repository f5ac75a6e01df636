package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// rowsServer answers _changes with many rows, in the bytes and the chunks of CouchDB 3.5.0. They are a block of rows that is
// sent again and again: what a reader does with one does not depend on those before. The block is made beforehand, so that a
// reader, not the server, is what takes time.
type rowsServer struct {
	server  *http.Server
	served  chan error
	url     string
	web     *http.Client
	rows    int
	rowSize int
	forms   [2]answerForm // ordinary and continuous
}

// answerForm is how rows are sent.
type answerForm struct {
	head, separator, tail string
	block                 []byte // rows with their separators, in chunks
	last                  []byte // the rows after all blocks, in chunks
}

const (
	blockRows   = 1200 // different rows
	rowsInChunk = 6    // CouchDB cuts at 1490 bytes
)

func openRows(rows int) (*rowsServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &rowsServer{url: "http://" + l.Addr().String(), web: &http.Client{Transport: &http.Transport{DisableCompression: true}},
		rows: rows, rowSize: len(changesRow(0)), served: make(chan error, 1)}
	s.forms[0] = answerForm{head: "{\"results\":[\n", separator: ",\n", tail: "\n],\n\"last_seq\":\"" + sequence(0) + "\",\"pending\":0}\n"}
	s.forms[1] = answerForm{separator: "\n", tail: "\n{\"last_seq\":\"" + sequence(0) + "\",\"pending\":0}\n"}
	for i := range s.forms {
		s.forms[i].make(rows)
	}
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second}
	go func() { s.served <- s.server.Serve(l) }()
	return s, nil
}

func (s *rowsServer) close() error {
	s.web.CloseIdleConnections()
	err := s.server.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// sequence is one of a database of two shards.
func sequence(n int) string {
	const rest = "-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTmXOBAuzGSSmJBolJ2DTgMSaPBUgyNACp_1DTWMCmmSelGpiaYTUtCwBKKyjV"
	return fmt.Sprint(100_000+n, rest)
}

func changesRow(n int) []byte {
	return fmt.Appendf(nil, `{"seq":"%s","id":"doc-%08d","changes":[{"rev":"1-%032x"}]}`, sequence(n), n, n)
}

// make makes the block, and what is left of rows after whole blocks: at least one row, as the last has no separator.
func (f *answerForm) make(rows int) {
	f.block = f.chunks(blockRows, f.separator)
	f.last = f.chunks((rows-1)%blockRows+1, "")
}

// chunks are the first n rows, the last of them before the given end.
func (f *answerForm) chunks(n int, end string) []byte {
	var out, part bytes.Buffer
	for i := range n {
		part.Write(changesRow(i))
		if i == n-1 {
			part.WriteString(end)
		} else {
			part.WriteString(f.separator)
		}
		if i%rowsInChunk == rowsInChunk-1 || i == n-1 {
			writeChunk(&out, part.Bytes())
			part.Reset()
		}
	}
	return out.Bytes()
}

// writeChunk frames a part of the body; an empty one would end it.
func writeChunk(w io.Writer, part []byte) {
	if len(part) > 0 {
		fmt.Fprintf(w, "%x\r\n%s\r\n", len(part), part)
	}
}

// serve writes the answer to the connection itself: net/http would cut it otherwise.
func (s *rowsServer) serve(w http.ResponseWriter, r *http.Request) {
	form := &s.forms[0]
	if r.URL.Query().Get("feed") == "continuous" {
		form = &s.forms[1]
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(timeout))
	_ = s.answer(buffered.Writer, form) // a reader that is gone will say why
}

func (s *rowsServer) answer(w *bufio.Writer, form *answerForm) error {
	_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
	writeChunk(w, []byte(form.head))
	for range (s.rows - 1) / blockRows {
		if _, err := w.Write(form.block); err != nil {
			return err
		}
	}
	_, _ = w.Write(form.last)
	writeChunk(w, []byte(form.tail))
	_, _ = io.WriteString(w, "0\r\n\r\n")
	return w.Flush() // a bufio.Writer that has failed goes on failing
}
