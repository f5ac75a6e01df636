package bridge

// HeldAhead is how much a server holds of documents fetched ahead, and of rows of
// live feeds.
func (s *Server) HeldAhead() int64 {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	return s.budget.cached
}

// LimitAhead bounds it otherwise. It must be called before there are sessions.
func (s *Server) LimitAhead(most int64) { s.budget.caches = most }

// AheadBytes is how much a session may hold.
const AheadBytes = aheadBytes
