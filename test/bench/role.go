package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"pouchbridge/couch/embedded"
)

// roleVariable has this program be a child of itself, for what needs a process of its own.
const roleVariable = "POUCHBRIDGE_BENCH_ROLE"

// runRole is the program as a child. A child answers on its standard output with lines of JSON.
func runRole(ctx context.Context, role string, args []string, stdin io.Reader, stdout io.Writer) error {
	switch role {
	case "store":
		return serveStore(ctx, stdin, stdout)
	case "attachment":
		return moveAttachment(ctx, args, stdin, stdout)
	}
	return fmt.Errorf("%s: there is no role %q", roleVariable, role)
}

// startRole starts this program as a child.
func startRole(role string, args ...string) (*process, error) {
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startProcess("bench as "+role, isObject, []string{roleVariable + "=" + role}, own, args...)
}

// serveStore is an embedded store that answers {"url": where it is}, until ctx or its input ends.
func serveStore(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // until the process ends, or its parent
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	store, err := embedded.Open(embedded.Options{})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, store.Close())
	}
	server := &http.Server{Handler: store, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	err = json.NewEncoder(stdout).Encode(map[string]string{"url": "http://" + l.Addr().String()})
	select {
	case <-ctx.Done():
		err = errors.Join(err, server.Close())
		<-ended
	case failed := <-ended:
		err = errors.Join(err, failed)
	}
	return errors.Join(err, store.Close())
}
