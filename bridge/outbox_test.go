package bridge

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"pouchbridge/bridge/wire"
)

func TestOutboxIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(10)
		put := func(msg string) chan error {
			done := make(chan error, 1)
			go func() { done <- o.put(t.Context(), []byte(msg)) }()
			synctest.Wait()
			return done
		}
		if err := <-put("eight by"); err != nil {
			t.Fatal(err)
		}
		if err := <-put("a message over the limit"); err != nil {
			t.Fatal(err)
		}
		waiting := put("x")
		if len(waiting) != 0 {
			t.Fatal("a full outbox takes more")
		}
		batch, last := o.take()
		if len(batch) != 2 || last {
			t.Fatalf("took %q, last %t", batch, last)
		}
		synctest.Wait()
		if len(waiting) != 0 {
			t.Fatal("there is room before the batch was written")
		}
		o.wrote(len(batch[0]) + len(batch[1]))
		if err := <-waiting; err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		o.wrote(-10)
		gaveUp := make(chan error, 1)
		go func() { gaveUp <- o.put(ctx, []byte("y")) }()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOutboxEnds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end  func(*outbox)
		left int
	}{"finish": {(*outbox).finish, 1}, "abort": {(*outbox).abort, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := newOutbox(1)
				if err := o.put(t.Context(), []byte("x")); err != nil {
					t.Fatal(err)
				}
				waiting := make(chan error, 1)
				go func() { waiting <- o.put(t.Context(), []byte("y")) }()
				synctest.Wait()
				tt.end(o)
				if err := <-waiting; !errors.Is(err, errConnectionEnded) {
					t.Errorf("who waited got %v", err)
				}
				if err := o.put(t.Context(), []byte("z")); !errors.Is(err, errConnectionEnded) {
					t.Errorf("who came later got %v", err)
				}
				if batch, last := o.take(); len(batch) != tt.left || !last {
					t.Errorf("%d messages left, last %t", len(batch), last)
				}
			})
		})
	}
}

func TestQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{workers: 2}
		put := func(size int) (bool, signal) {
			t.Helper()
			worker, s, err := q.put(t.Context(), wire.Call{Size: size})
			if err != nil {
				t.Fatal(err)
			}
			return worker, s
		}
		workers, pauses := 0, 0
		for range maxCalls {
			worker, s := put(1)
			if worker {
				workers++
			}
			if s == pauseClient {
				pauses++
			}
		}
		if workers != 2 || pauses != 1 {
			t.Errorf("%d workers, %d pauses", workers, pauses)
		}
		blocked := make(chan error, 1)
		go func() { _, _, err := q.put(t.Context(), wire.Call{Size: 1}); blocked <- err }()
		synctest.Wait()
		if len(blocked) != 0 {
			t.Fatal("a full queue takes more")
		}
		resumes := 0
		for range maxCalls {
			if _, s, ok := q.take(); !ok {
				t.Fatal("the queue is empty too early")
			} else if s == resumeClient {
				resumes++
			}
			synctest.Wait()
		}
		if err := <-blocked; err != nil || resumes != 1 {
			t.Errorf("%v, %d resumes", err, resumes)
		}
		q.take()
		for range 2 {
			if _, _, ok := q.take(); ok {
				t.Error("there is a call more")
			}
		}
		if worker, _ := put(maxCallBytes + 1); !worker {
			t.Error("no worker is started after all have ended, or a large call does not fit an empty queue")
		}
		q.close()
		if _, _, err := q.put(t.Context(), wire.Call{}); err == nil {
			t.Error("a closed queue takes calls")
		}
		if _, _, ok := q.take(); ok {
			t.Error("a closed queue hands out calls")
		}
	})
}

func TestFlowWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f flow
		f.set(false)
		f.set(true)
		f.set(true)
		done := make(chan error, 2)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- f.wait(ctx) }()
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("data flows while paused")
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		go func() { done <- f.wait(t.Context()) }()
		synctest.Wait()
		f.set(false)
		if err := <-done; err != nil {
			t.Errorf("got %v", err)
		}
	})
}
