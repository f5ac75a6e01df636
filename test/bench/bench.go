package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// bench is what the measures have in common.
type bench struct {
	options
	log      io.Writer
	root     string // of the module
	dir      string // temporary
	binary   string // the bridge
	upstream *upstream
	clients  func() (string, error) // directory of the installed client; installs it once
}

// buildTime and installTime bound what must be done before anything can be measured.
const (
	buildTime   = 10 * time.Minute
	installTime = 5 * time.Minute
)

// openBench builds the bridge as it is shipped, and finds or starts the upstream.
func openBench(ctx context.Context, o options, couchdbURL string, log io.Writer) (*bench, error) {
	b := &bench{options: o, log: log}
	if err := b.open(ctx, couchdbURL); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) open(ctx context.Context, couchdbURL string) error {
	var err error
	if b.dir, err = os.MkdirTemp("", "pouchbridge-bench-"); err != nil {
		return err
	}
	if err := b.build(ctx); err != nil {
		return err
	}
	b.clients = sync.OnceValues(func() (string, error) { return b.installClient(ctx) })
	b.upstream, err = openUpstream(ctx, couchdbURL)
	return err
}

func (b *bench) close() error {
	var err error
	if b.upstream != nil {
		err = b.upstream.close()
	}
	if b.dir != "" {
		err = errors.Join(err, os.RemoveAll(b.dir))
	}
	return err
}

func (b *bench) logf(format string, args ...any) { fmt.Fprintf(b.log, "bench: "+format+"\n", args...) }

// build makes the bridge with the flags of the release.
func (b *bench) build(ctx context.Context) error {
	module, err := command(ctx, buildTime, "", nil, "go", "env", "GOMOD")
	if err != nil {
		return err
	}
	b.root = filepath.Dir(strings.TrimSpace(module))
	if _, err := os.Stat(filepath.Join(b.root, "test", "bench", "main.go")); err != nil {
		return fmt.Errorf("run it inside the module, as `make bench` does: %w", err)
	}
	b.binary = filepath.Join(b.dir, "pouchbridge")
	_, err = command(ctx, buildTime, b.root, []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-o", b.binary, ".")
	return err
}

// howToInstall has commands for programs that may be missing.
var howToInstall = map[string]string{
	"go":   "see https://go.dev/doc/install, or `snap install go --classic`",
	"node": "`apt-get install nodejs` installs it, version 20 or later is needed; so does https://nodejs.org",
	"npm":  "`apt-get install npm` installs it, and so does every Node.js of nodejs.org",
}

// command runs a program to its end and returns what it printed. What it said on standard error is shown only if it failed.
func command(ctx context.Context, within time.Duration, dir string, env []string, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%s is not installed: %s", program, howToInstall[program])
	}
	if err != nil {
		return "", fmt.Errorf("`%s %s` failed in %q: %w\n%s%s", program, strings.Join(args, " "), dir, err, out.String(), said.String())
	}
	return out.String(), nil
}

// installClient installs the published client on PouchDB 5.4.5 as test/e2e/run.mjs does, unless that was done before: the
// stamp in node_modules says which lockfile was installed.
func (b *bench) installClient(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return "", fmt.Errorf("node is not installed: %s", howToInstall["node"])
	}
	dir := filepath.Join(b.root, "test", "clients", "5.4.5")
	lockfile, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(lockfile)
	want, stamp := hex.EncodeToString(digest[:]), filepath.Join(dir, "node_modules", ".installed-lockfile")
	if installed, _ := os.ReadFile(stamp); string(installed) == want {
		return dir, nil
	}
	b.logf("installing the client in %s", dir)
	if _, err := command(ctx, installTime, dir, nil, "npm", "ci", "--loglevel=error"); err != nil {
		return "", err
	}
	return dir, os.WriteFile(stamp, []byte(want), 0o644)
}

// writeDocuments puts the documents of a replication into a file, for Node to read.
func (b *bench) writeDocuments() (string, error) {
	text, err := json.Marshal(documents(b.docs))
	if err != nil {
		return "", err
	}
	file := filepath.Join(b.dir, "documents.json")
	return file, os.WriteFile(file, text, 0o600)
}
