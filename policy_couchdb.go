package main

import (
	"context"
	"fmt"

	"pouchbridge/auth"
	"pouchbridge/couch"
)

func (s *settings) newCouchDB(f *faults) auth.Policy {
	s.checkServer("COUCHDB_UPSTREAM", s.CouchDBUpstream, f)
	policy, err := auth.NewCouchDB(auth.CouchDBOptions{
		Sessions:        couchdbSessions{s},
		Upstream:        s.CouchDBUpstream,
		NameAttempts:    auth.Attempts{Burst: s.CouchDBNameAttempts, Every: s.CouchDBNameInterval},
		AddressAttempts: auth.Attempts{Burst: s.CouchDBAddressAttempts, Every: s.CouchDBAddressInterval},
	})
	if err != nil {
		f.add("POLICY", "couchdb cannot be made: %w", err)
		return nil
	}
	return policy
}

// checkServer reports a name of a server that does not exist.
func (s *settings) checkServer(variable, name string, f *faults) {
	if _, ok := s.upstreams[name]; !ok && name != "" {
		f.add(variable, "is %q, which is none of the servers of %sUPSTREAMS", name, prefix)
	}
}

// couchdbSessions asks the CouchDB of the policy couchdb. In dev there is none until it listens, which is before anybody
// can ask.
type couchdbSessions struct{ settings *settings }

func (c couchdbSessions) client() *couch.Client {
	if name := c.settings.CouchDBUpstream; name != "" {
		return c.settings.upstreams[name]
	}
	return c.settings.upstream
}

func (c couchdbSessions) Login(ctx context.Context, name, password string) (cookie, user string, err error) {
	cookie, u, err := c.client().Login(ctx, name, password)
	return cookie, u.Name, err
}

func (c couchdbSessions) SessionAs(ctx context.Context, id auth.Identity) (user string, err error) {
	var who couch.Identity
	switch id.Kind {
	case auth.Bearer:
		who = couch.Bearer(id.Secret)
	case auth.Cookie:
		who = couch.SessionCookie(id.Secret)
	default:
		return "", fmt.Errorf("the policy couchdb asked as %s", id)
	}
	client, err := c.client().As(who)
	if err != nil {
		return "", err
	}
	u, err := client.Session(ctx)
	return u.Name, err
}
