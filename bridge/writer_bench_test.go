package bridge

import (
	"io"
	"net"
	"testing"
)

// BenchmarkJoined compares a write for each of 100 short lines with one write
// of all, which costs a copy: what joinedBytes is about.
func BenchmarkJoined(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	line := make([]byte, 200)
	write := func(b *testing.B, msg []byte) {
		if _, err := c.Write(msg); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("each", func(b *testing.B) {
		for b.Loop() {
			for range 100 {
				write(b, line)
			}
		}
	})
	b.Run("joined", func(b *testing.B) {
		for b.Loop() {
			joined := newBuffer(joinedBytes)
			for range 100 {
				joined = append(joined, line...)
			}
			write(b, joined)
			freeBuffer(joined)
		}
	})
}
