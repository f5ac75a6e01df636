package bridge

import (
	"fmt"
	"time"

	"pouchbridge/auth"
	"pouchbridge/couch"
)

// as is a server as the grant's identity sees it.
func (s *Server) as(service *couch.Client, id auth.Identity) (*couch.Client, error) {
	switch id.Kind {
	case auth.ServiceAccount:
		return service, nil
	case auth.ProxyUser:
		return service.As(couch.ProxyUser(id.Name, id.Roles, s.options.ProxySecret))
	case auth.Bearer:
		return service.As(couch.Bearer(id.Secret))
	case auth.Basic:
		return service.As(couch.Basic(id.Name, id.Secret))
	case auth.Cookie:
		return service.As(couch.SessionCookie(id.Secret))
	}
	return nil, fmt.Errorf("there is no way to be %s", id)
}

// introduce makes sure that CouchDB takes the session's client for whom the
// grant says: one it does not know would pass as anonymous where a database is
// open to all. A session that must be kept alive is, from then on.
func (s *session) introduce() error {
	if s.grant.Identity.Kind == auth.ServiceAccount {
		return nil
	}
	next, err := s.renew()
	if err == nil && next > 0 {
		s.conn.start(func() { s.keepAlive(next) })
	}
	return err
}

func (s *session) renew() (next time.Duration, err error) {
	return retry(s.ctx, s.conn.server.options.UpstreamPatience, func() (time.Duration, error) { return s.client.Renew(s.ctx) })
}

// keepAlive renews the session cookie of a grant for as long as the session
// lasts: an idle feed would let it expire. When CouchDB does not take it any
// more, the client must connect again and say who it is: as nobody, it could go
// on reading a database that is open to all.
func (s *session) keepAlive(next time.Duration) {
	for next > 0 {
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			timer.Stop()
			return
		}
		var err error
		next, err = s.renew()
		switch {
		case s.ctx.Err() != nil:
			return
		case couch.Transient(err):
			next = renewAgain
		case err != nil:
			s.fail(err)
			return
		}
	}
}

// renewAgain is when to try again to renew while CouchDB is away. Its absence is
// noticed by calls and feeds.
const renewAgain = 10 * time.Second
