// Bench measures the bridge beside its peers: the original Node server, a server that answers at once from memory, CouchDB
// itself, and plain copying. Every figure has its peer's from the same run on the same upstream: the CouchDB of COUCHDB_URL,
// which must be on this machine's loopback, or else the embedded store in a process of its own.
//
//	make bench                                        everything, into docs/BENCHMARKS.md
//	go run ./test/bench -run 'pull|push' -docs 1000   two measures, small, to the standard output
//
// It talks to loopback addresses only, ends only processes that it started, and deletes the databases that it creates. The
// exit status is 0 if everything was measured, whatever the figures are.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if role := os.Getenv(roleVariable); role != "" {
		err = runRole(ctx, role, os.Args[1:], os.Stdin, os.Stdout)
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// sizes say how much is measured.
type sizes struct {
	docs       int           // of a replication
	runs       int           // of what is repeated
	sessions   []int         // live on one database
	fanout     int           // sessions that a write goes to
	writes     int           // that are fanned out, one after the other
	idle       int           // connections
	rows       int           // of _changes
	attachment int64         // bytes
	settle     time.Duration // that idle connections are left alone before memory is looked at
	rest       time.Duration // without a change of what is at rest
}

// full is what the tables of docs/BENCHMARKS.md are made with.
func full() sizes {
	return sizes{docs: 10_000, runs: 3, sessions: []int{1, 100, 1000, 5000}, fanout: 1000, writes: 200, idle: 5000,
		rows: 1_000_000, attachment: 300_000_000, settle: 150 * time.Second, rest: 3 * time.Second}
}

// options are what the command line says.
type options struct {
	sizes
	only    *regexp.Regexp // names of measures
	profile string         // directory; empty: no profiles
	write   string         // file with the sections; empty: none
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{sizes: full()}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("run", "", "run only the measures whose name this regular expression finds, of "+strings.Join(measureNames(), ", "))
	flags.StringVar(&o.write, "write", "", "write the tables into the section of the upstream in this `file`")
	flags.StringVar(&o.profile, "profile", "", "save pprof profiles of the bridge during a further pull and push in this `directory`")
	flags.IntVar(&o.docs, "docs", o.docs, "documents of a replication")
	flags.IntVar(&o.runs, "runs", o.runs, "runs of what is repeated")
	sessions := flags.String("sessions", "1,100,1000,5000", "numbers of live sessions on one database")
	flags.IntVar(&o.fanout, "fanout", o.fanout, "sessions that a write is fanned out to")
	flags.IntVar(&o.writes, "writes", o.writes, "writes that are fanned out")
	flags.IntVar(&o.idle, "idle", o.idle, "idle connections")
	flags.IntVar(&o.rows, "rows", o.rows, "rows of _changes")
	flags.Int64Var(&o.attachment, "attachment", o.attachment, "bytes of the attachment")
	flags.DurationVar(&o.settle, "settle", o.settle, "how long idle connections are left alone before memory is looked at")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	if o.write != "" && *only != "" {
		return o, errors.New("-write replaces all tables: leave out -run")
	}
	if o.sessions, err = parseNumbers(*sessions); err != nil {
		return o, fmt.Errorf("-sessions: %w", err)
	}
	return o, o.check()
}

// check refuses sizes with which nothing would be measured.
func (s sizes) check() error {
	for name, n := range map[string]int64{"docs": int64(s.docs), "runs": int64(s.runs), "fanout": int64(s.fanout), "writes": int64(s.writes),
		"idle": int64(s.idle), "rows": int64(s.rows), "attachment": s.attachment} {
		if n < 1 {
			return fmt.Errorf("-%s is %d; it must be at least 1", name, n)
		}
	}
	return nil
}

func parseNumbers(list string) ([]int, error) {
	var numbers []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a positive number", text)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// run measures what args ask for, and prints the tables. A measure that fails leaves the others to be run.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	b, err := openBench(ctx, o, os.Getenv("COUCHDB_URL"), stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if o.write != "" {
		if _, err := readPage(o.write); err != nil {
			return err // before an hour is spent
		}
	}
	text, failures := b.measureAll(ctx)
	if _, err := io.WriteString(stdout, text); err != nil {
		return err
	}
	if o.write != "" && ctx.Err() == nil {
		failures = errors.Join(failures, b.upstream.section.write(o.write, text))
	}
	return cmp.Or(ctx.Err(), failures)
}
