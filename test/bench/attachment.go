package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"pouchbridge/couch"
)

// attachmentTime bounds moving the attachment one way.
const attachmentTime = 15 * time.Minute

// moved is what a child found that pushed or pulled the attachment.
type moved struct {
	Before int64   `json:"before"` // RSS, bytes
	Peak   int64   `json:"peak"`   // the most there was while it moved
	Took   float64 `json:"took"`   // seconds
	Digest string  `json:"digest"`
	Error  string  `json:"error"`
}

// attachments measures by how much a process grows that pushes, and one that pulls, a large attachment with package couch.
func (b *bench) attachments(ctx context.Context) (report, error) {
	detail := table{
		title: fmt.Sprintf("One attachment of %s, in a process of its own each way; the most is that while it moved:", megabytes(b.attachment)),
		head:  []string{"direction", "RSS before", "most", "growth", "time"},
	}
	var most int64
	err := b.upstream.withDatabase(ctx, func(db *database) error {
		pushed, err := b.move(ctx, "push", db.name)
		if err != nil {
			return err
		}
		pulled, err := b.move(ctx, "pull", db.name)
		if err != nil {
			return err
		}
		if pushed.Digest != pulled.Digest {
			return errors.New("what was pulled is not what was pushed")
		}
		for _, m := range []struct {
			direction string
			moved
		}{{"push", pushed}, {"pull", pulled}} {
			growth := m.Peak - m.Before
			most = max(most, growth)
			detail.rows = append(detail.rows, []string{m.direction, megabytes(m.Before), megabytes(m.Peak), megabytes(growth), fmt.Sprintf("%.2f s", m.Took)})
		}
		return nil
	})
	return report{
		rows: []row{{measure: "a " + megabytes(b.attachment) + " attachment pulled and pushed through `couch`", against: "RSS growth", mustBe: "under 32 MB",
			measured: megabytes(most), met: most < 32_000_000}},
		details: []table{detail},
	}, err
}

func (b *bench) move(ctx context.Context, direction, database string) (moved, error) {
	var m moved
	child, err := startRole("attachment", direction, database, strconv.FormatInt(b.attachment, 10))
	if err != nil {
		return m, err
	}
	// The URL may contain a password, and so is not an argument, which everybody on the machine can read.
	if err := child.ask(ctx, attachmentTime, b.upstream.url.String(), &m); err != nil {
		return m, errors.Join(err, child.stop())
	}
	if m.Error != "" {
		err = fmt.Errorf("%s: %s", direction, m.Error)
	}
	<-child.done
	return m, err
}

// moveAttachment is the child: it reads the upstream's URL from its input, moves the attachment and answers with moved.
func moveAttachment(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	var url string
	if err := json.NewDecoder(stdin).Decode(&url); err != nil {
		return err
	}
	if len(args) != 3 {
		return fmt.Errorf("%q: want a direction, a database and a size", args)
	}
	size, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	m, err := measureMove(ctx, args[0], url, args[1], size)
	if err != nil {
		m.Error = err.Error()
	}
	return json.NewEncoder(stdout).Encode(m)
}

func measureMove(ctx context.Context, direction, url, name string, size int64) (m moved, err error) {
	client, err := couch.New(url, couch.Options{})
	if err != nil {
		return m, err
	}
	defer client.Close()
	db, err := client.Database(name)
	if err != nil {
		return m, err
	}
	if _, err := db.Info(ctx); err != nil { // there is a connection
		return m, err
	}
	began := time.Now()
	m.Before, m.Peak, err = peak(func() (err error) {
		if direction == "push" {
			m.Digest, err = pushAttachment(ctx, db, size)
		} else {
			m.Digest, err = pullAttachment(ctx, db, size)
		}
		return err
	})
	m.Took = time.Since(began).Seconds()
	return m, err
}

// peak is this process's memory before fn runs, and the most that there is meanwhile.
func peak(fn func() error) (before, most int64, err error) {
	// VmHWM from now on: https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return 0, 0, err
	}
	if before, err = memory("self", "VmRSS"); err != nil {
		return 0, 0, err
	}
	if err := fn(); err != nil {
		return 0, 0, err
	}
	most, err = memory("self", "VmHWM")
	return before, most, err
}

const attachedTo, attachedAs = "attached", "file.bin"

// pushAttachment sends random bytes and returns their digest.
func pushAttachment(ctx context.Context, db *couch.Database, size int64) (string, error) {
	digest := sha256.New()
	random := rand.NewChaCha8([32]byte{1})
	body := io.TeeReader(io.LimitReader(random, size), digest)
	_, err := db.PutAttachment(ctx, attachedTo, attachedAs, "", "application/octet-stream", size, body)
	return hex.EncodeToString(digest.Sum(nil)), err
}

// pullAttachment reads the attachment and returns its digest.
func pullAttachment(ctx context.Context, db *couch.Database, size int64) (string, error) {
	attachment, err := db.Attachment(ctx, attachedTo, attachedAs, couch.AttachmentOptions{})
	if err != nil {
		return "", err
	}
	defer attachment.Body.Close()
	digest := sha256.New()
	n, err := io.Copy(digest, attachment.Body)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes came, not %d", n, size)
	}
	return hex.EncodeToString(digest.Sum(nil)), err
}
