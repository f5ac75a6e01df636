package bridge

// HeldAhead is how much of documents fetched ahead a server holds.
func (s *Server) HeldAhead() int64 { return s.ahead.held.Load() }

// LimitAhead bounds it otherwise. It must be called before there are sessions.
func (s *Server) LimitAhead(most int64) { s.ahead.most = most }

// AheadBytes is how much a session may hold.
const AheadBytes = aheadBytes
