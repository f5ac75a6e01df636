// Pouchbridge is a websocket bridge between PouchDB clients and CouchDB. Run it with --help.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	if err := run(untilSignal(), os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "pouchbridge:", err)
		os.Exit(1)
	}
}

// untilSignal returns a context that the first SIGINT or SIGTERM ends. The second one ends the process.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2) // so that none is lost, however close they come
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // lives as long as the process
		<-signals
		cancel()
		<-signals
		fmt.Fprintln(os.Stderr, "pouchbridge: a second signal: ending without waiting for anything")
		os.Exit(1)
	}()
	return ctx
}

// command is one thing that the program does.
type command struct {
	name, help string
	run        func(ctx context.Context, getenv func(string) string, std stdio) error
}

// stdio is what a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// commands are all commands; the first is the default.
func commands() []command {
	return []command{
		{"serve", "bridge websockets to the CouchDB of COUCHDB_URL; the default", serve},
		{"dev", "serve with a CouchDB of its own, for anyone on this machine", dev},
		{"healthcheck", "ask a running bridge of the same configuration whether it serves", healthcheck},
		{"token", "print a new random token for the policy static", printToken},
		{"hash", "print the entry of the token on standard input, for the file of the policy static", printHash},
		{"version", "print what this binary was built from", func(_ context.Context, _ func(string) string, std stdio) error {
			return printVersion(std.out)
		}},
		{"help", "print this text; also -h, --help", func(_ context.Context, _ func(string) string, std stdio) error {
			return printHelp(std.out)
		}},
	}
}

// run is the program: everything it reads and writes is a parameter. It returns when the command is done or, for serve
// and dev, when ctx has ended and everything was shut down.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) error {
	c, err := parseArgs(args)
	if err != nil {
		return err
	}
	return c.run(ctx, getenv, stdio{stdin, stdout, stderr})
}

// parseArgs finds the one command that args may name.
func parseArgs(args []string) (command, error) {
	all := commands()
	if len(args) == 0 {
		return all[0], nil
	}
	name := args[0]
	if name == "-h" || name == "--help" || name == "-help" {
		name = "help"
	}
	names := make([]string, len(all))
	for i, c := range all {
		if names[i] = c.name; c.name != name {
			continue
		}
		if len(args) > 1 {
			return command{}, fmt.Errorf("%s takes no arguments, but was given %s; it is configured by environment variables, which the command help lists", name, strings.Join(quoted(args[1:]), " "))
		}
		return c, nil
	}
	return command{}, fmt.Errorf("there is no command %q; the commands are %s", name, alternatives(names))
}
