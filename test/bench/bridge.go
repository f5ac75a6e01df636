package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// bridge is a bridge in a process of its own, with the configuration of the release and the policy open.
type bridge struct {
	*process
	url, admin string
}

// startBridge starts a bridge in front of the CouchDB at couchdbURL.
func (b *bench) startBridge(ctx context.Context, couchdbURL string) (*bridge, error) {
	wanted := func(line []byte) bool { return bytes.Contains(line, []byte(`"message":"listening"`)) }
	p, err := startProcess("the bridge", wanted, []string{
		"POUCHBRIDGE_LISTEN=127.0.0.1:0", "POUCHBRIDGE_ADMIN_LISTEN=127.0.0.1:0", "POUCHBRIDGE_PPROF=true", "POUCHBRIDGE_POLICY=open",
		"POUCHBRIDGE_LOG_FORMAT=json", "POUCHBRIDGE_MAX_CONNECTIONS=0", "POUCHBRIDGE_COUCHDB_URL=" + couchdbURL,
	}, b.binary, "serve")
	if err != nil {
		return nil, err
	}
	var at struct {
		URL      string
		AdminURL string `json:"admin_url"`
	}
	if err := p.answer(ctx, startTime, &at); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return &bridge{p, at.URL, at.AdminURL}, nil
}

// withBridge has fn use a bridge in front of the CouchDB at couchdbURL.
func (b *bench) withBridge(ctx context.Context, couchdbURL string, fn func(*bridge) error) error {
	br, err := b.startBridge(ctx, couchdbURL)
	if err != nil {
		return err
	}
	return errors.Join(fn(br), br.stop())
}

// profiled has fn run while the processor is sampled, and saves that and the heap afterwards. It is sampled for as long as fn
// is thought to take: a profile ends by the clock alone.
func (b *bench) profiled(ctx context.Context, br *bridge, name string, takes time.Duration, fn func() error) error {
	if err := os.MkdirAll(b.profile, 0o755); err != nil {
		return err
	}
	sampled := make(chan error, 1)
	go func() {
		sampled <- b.saveProfile(ctx, br, fmt.Sprintf("profile?seconds=%d", 1+int(takes.Seconds())), name+".cpu.pb.gz", takes)
	}()
	err := fn()
	return errors.Join(err, <-sampled, b.saveProfile(ctx, br, "heap", name+".heap.pb.gz", 0))
}

func (b *bench) saveProfile(ctx context.Context, br *bridge, what, file string, takes time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, takes+requestTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, br.admin+"/debug/pprof/"+what, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("profile %s: %s: %s", what, response.Status, strings.TrimSpace(string(text)))
	}
	return os.WriteFile(filepath.Join(b.profile, file), text, 0o644)
}
