package auth

import (
	"context"
	"crypto/sha256"
	"sync"
	"sync/atomic"
)

// StaticFile is a [Static] policy that follows its file. Safe for concurrent use.
//
// Who owns it says when the file is to be looked at: [StaticFile.Look] every few seconds, [StaticFile.Reload] at once. The
// file is read anew each time and its content compared, which finds every way of changing a file, the exchanged symbolic
// links of Kubernetes and network file systems included, and costs next to nothing for a file of tokens.
type StaticFile struct {
	read      func() ([]byte, error)
	upstreams []string
	current   atomic.Pointer[Static]

	mu     sync.Mutex
	taken  [sha256.Size]byte // of the content that current was made of, or that was refused
	seen   [sha256.Size]byte // of what the last look saw
	unread bool              // whether the last look could not read, and said so
}

// OpenStatic reads the file for the first time; read returns its content, upstreams are as for [ParseStatic]. The error is
// that of read, or a [*FileError].
func OpenStatic(read func() ([]byte, error), upstreams []string) (*StaticFile, error) {
	f := &StaticFile{read: read, upstreams: upstreams}
	f.current.Store(&Static{})
	if _, _, err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// OnRequest is that of the [Static] policy of the file as it was last taken.
func (f *StaticFile) OnRequest(ctx context.Context, r Request) (Grant, error) {
	return f.current.Load().OnRequest(ctx, r)
}

// Reload takes the file as it is now. It reports whether that made a new policy, and the ids of the tokens that the old one
// had and that are gone or open something else now: grants made for them ([Grant.TokenID]) are to be revoked. With an error
// the old policy stays.
func (f *StaticFile) Reload() (reloaded bool, gone []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	content, err := f.read()
	if err != nil {
		f.unread = true
		return false, nil, err
	}
	f.unread = false
	return f.take(content, sha256.Sum256(content))
}

// Look is Reload if the file has another content than it had, and the same as at the look before: one that is being written
// may be cut off at any place, and be sound for all that. It tells of a faulty content, or a file that cannot be read, once.
func (f *StaticFile) Look() (reloaded bool, gone []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	content, err := f.read()
	if err != nil {
		if f.unread {
			return false, nil, nil
		}
		f.unread = true
		return false, nil, err
	}
	f.unread = false
	sum := sha256.Sum256(content)
	settled := sum == f.seen
	f.seen = sum
	if sum == f.taken || !settled {
		return false, nil, nil
	}
	return f.take(content, sum)
}

// take makes the content the policy. The caller holds mu.
func (f *StaticFile) take(content []byte, sum [sha256.Size]byte) (reloaded bool, gone []string, err error) {
	f.seen, f.taken = sum, sum
	next, err := ParseStatic(content, f.upstreams)
	if err != nil {
		return false, nil, err
	}
	return true, f.current.Swap(next).changed(next), nil
}
