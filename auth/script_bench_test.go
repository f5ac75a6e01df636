package auth

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkScript is decisions of the policy `script`. sequential is one core's worth: one request at a time.
func BenchmarkScript(b *testing.B) {
	seed, err := os.ReadFile("testdata/script/seed.js")
	if err != nil {
		b.Fatal(err)
	}
	for name, source := range map[string]string{
		"seed":    string(seed),
		"options": `onRequest = (c, name, cb) => cb(null, new PouchDB(name, {access: 'read-only', selector: {owner: 'alice'}, subject: 'alice'}))`,
		"async":   `module.exports = async (c, name) => { await null; return new PouchDB(name) }`,
	} {
		file := filepath.Join(b.TempDir(), "policy.js")
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			b.Fatal(err)
		}
		r := Request{Credentials: json.RawMessage(`{"token":"some token"}`), Database: "todos"}
		ask := func(s *Script) {
			if _, err := s.OnRequest(context.Background(), r); err != nil {
				b.Error(err)
			}
		}
		open := func(b *testing.B) *Script {
			s, err := NewScript(ScriptOptions{File: file})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = s.Close() })
			return s
		}
		b.Run(name+"/sequential", func(b *testing.B) {
			s := open(b)
			b.ReportAllocs()
			for b.Loop() {
				ask(s)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			s := open(b)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					ask(s)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
		})
	}
	b.Run("load", func(b *testing.B) {
		s, err := NewScript(ScriptOptions{File: "testdata/script/seed.js"})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.newRuntime(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
