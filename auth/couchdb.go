package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// CouchDBOptions say how [CouchDB] works.
type CouchDBOptions struct {
	// Sessions asks the CouchDB. Required.
	Sessions Sessions
	// Upstream is the name of that server, for the grants. Empty: the default one.
	Upstream string
	// NameAttempts are the wrong passwords forgiven for one user name, from wherever they come. Default: 5, and one more
	// every minute. CouchDB 3.4 and later itself locks a name for five minutes after five, counted for the bridge as a
	// whole: to forgive more here is of use only where that has been configured otherwise (section chttpd_auth_lockout).
	NameAttempts Attempts
	// AddressAttempts are the wrong credentials of any kind forgiven to one client address (IPv6: one /64 network).
	// Default: 30, and one more every 5 seconds, as an address may be that of a whole office.
	AddressAttempts Attempts
}

// Sessions is what [CouchDB] needs of a CouchDB. An error that says what CouchDB answered has a method HTTPStatus() int,
// found with [errors.As]: 400, 401 and 403 are about the credentials. After every other error nothing is decided.
type Sessions interface {
	// Login is POST /_session: the value of the session cookie, and the user's name as CouchDB has it.
	Login(ctx context.Context, name, password string) (cookie, user string, err error)
	// SessionAs is GET /_session as somebody else, a [Bearer] or [Cookie]: the name of the user; empty: anonymous.
	SessionAs(ctx context.Context, id Identity) (user string, err error)
}

// CouchDB lets the CouchDB decide. Credentials are those of its users, and every call of the session is made as that user,
// so that CouchDB's _security and validation functions keep deciding. Three forms are taken:
//
//   - {"name": "…", "password": "…"}: exchanged for a session cookie at once; the password is in no grant.
//   - {"token": "…"}: a JWT for CouchDB's own JWT authentication. CouchDB verifies it, here only its expiry is read: a grant
//     ends with its token, even where CouchDB would not mind.
//   - none, null or {}, and a browser's AuthSession cookie in the upgrade request. It counts only with an Origin, all of which
//     the bridge has checked: browsers send the cookie from whatever page they show, and without that check any page on the web
//     could speak for its visitors. The origin "null", which every page can get itself, is none. Do not allow all origins
//     where this policy is used.
//
// It abstains from everything else. What has such a form and is wrong is refused: also a user whom CouchDB takes for anonymous.
// Users with a second factor (TOTP) cannot log in with name and password.
//
// The grant is for the database asked for, to read and to write; whether the user may is for CouchDB to say, to the calls of
// the session. System databases are refused.
//
// # Guessing
//
// Who guesses loses time. Wrong credentials are counted by user name and by client address; when those forgiven are used up,
// requests are refused without asking CouchDB, as [Unauthorized] with the time to wait, right credentials among them. A right
// password clears its name's count, as only its owner can know it, but not the address's: whoever has an account could go on
// guessing at others'. For each name one password is tried at a time, and for each address as many as may be wrong, so that
// guesses made at once count as those made in turn do. A try goes on when its client leaves.
//
// Of the same wrong credentials CouchDB is asked twice; then they are refused, and not counted, until five minutes have passed
// without asking: a forgotten device that knows an old password and connects for ever does not lock its owner out. For that a
// keyed hash of wrong credentials is kept; right ones are not kept at all.
//
// Who guesses at a name keeps its owner from logging in meanwhile, here as in CouchDB itself; sessions that exist go on. Behind
// a proxy, all clients have one address unless the proxy is a trusted one.
type CouchDB struct {
	sessions  Sessions
	upstream  string
	names     *throttle
	addresses *throttle
	wrong     *failures
}

const (
	maxTries    = 10_000 // names and addresses that are counted at a time, each
	rememberFor = 5 * time.Minute
)

// NewCouchDB makes a policy without touching the network. An error is a fault of the options.
func NewCouchDB(o CouchDBOptions) (*CouchDB, error) {
	if o.Sessions == nil {
		return nil, errors.New("the couchdb policy has no CouchDB to ask")
	}
	names, err := o.NameAttempts.orElse(Attempts{Burst: 5, Every: time.Minute})
	if err != nil {
		return nil, fmt.Errorf("attempts of a user name: %w", err)
	}
	addresses, err := o.AddressAttempts.orElse(Attempts{Burst: 30, Every: 5 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("attempts of an address: %w", err)
	}
	return &CouchDB{
		sessions:  o.Sessions,
		upstream:  o.Upstream,
		names:     newThrottle(names, 1, maxTries),
		addresses: newThrottle(addresses, addresses.Burst, maxTries),
		wrong:     newFailures(rememberFor, maxTries),
	}, nil
}

// OnRequest asks CouchDB whose the credentials are.
func (p *CouchDB) OnRequest(ctx context.Context, r Request) (Grant, error) {
	c, err := claimOf(r)
	if err != nil {
		return Grant{}, err
	}
	switch {
	case r.Database == "":
		return Grant{}, &Refusal{Code: NotFound, Message: "no database name was given"}
	case IsSystem(r.Database):
		return Grant{}, &Refusal{Code: Forbidden, Message: "system databases are not available here"}
	case !c.expires.IsZero() && !time.Now().Before(c.expires):
		return Grant{}, &Refusal{Code: Unauthorized, Message: "this token has expired"}
	}
	user, id, err := p.try(ctx, addressKey(r.RemoteAddr), c)
	if err != nil {
		return Grant{}, err
	}
	return Grant{Upstream: p.upstream, Database: r.Database, Access: ReadWrite, DesignDocs: true,
		Identity: id, Expires: c.expires, Subject: user, TokenID: c.tokenID}, nil
}

// try asks CouchDB unless too much was tried already, and keeps count of what it says. The address comes first, so that those
// who wait for a name's turn take up room of their own address only.
func (p *CouchDB) try(ctx context.Context, address string, c claim) (user string, id Identity, err error) {
	arrived, said := time.Now(), undecided
	if err := enter(ctx, p.addresses, "client address", address); err != nil {
		return "", Identity{}, err
	}
	defer func() { p.addresses.leave(address, said == wrong, false) }()
	if c.name != "" {
		if err := enter(ctx, p.names, "user name", c.name); err != nil {
			return "", Identity{}, err
		}
		defer func() { p.names.leave(c.name, said == wrong, said == right) }()
	}
	if p.wrong.has(arrived, c.parts()...) {
		return "", Identity{}, &Refusal{Code: Unauthorized, Message: c.refusal, Err: errKnownWrong}
	}
	user, id, said, err = p.ask(ctx, c)
	if said == wrong && !isLockout(c, err) {
		p.wrong.add(c.parts()...)
	}
	return user, id, err
}

// verdict is what CouchDB says about credentials.
type verdict int

const (
	undecided verdict = iota
	wrong
	right
)

// ask lets CouchDB decide. That is seen through until the deadline even if the client does not wait for it: guesses would
// cost nothing otherwise.
func (p *CouchDB) ask(parent context.Context, c claim) (user string, id Identity, said verdict, err error) {
	ctx := context.WithoutCancel(parent)
	if deadline, ok := parent.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	id = c.identity
	if c.name != "" {
		id.Kind = Cookie
		id.Secret, user, err = p.sessions.Login(ctx, c.name, c.password)
	} else {
		user, err = p.sessions.SessionAs(ctx, id)
	}
	switch {
	case isLockout(c, err):
		return "", Identity{}, wrong, &Refusal{Code: Unauthorized, Message: "CouchDB does not let this user in now, try again in some minutes", Err: err}
	case isAboutCredentials(err):
		return "", Identity{}, wrong, &Refusal{Code: Unauthorized, Message: c.refusal, Err: err}
	case err != nil:
		return "", Identity{}, undecided, &Refusal{Code: Unavailable, Err: err}
	case user == "":
		return "", Identity{}, wrong, &Refusal{Code: Unauthorized, Message: c.refusal, Err: errAnonymous}
	case id.Secret == "" || c.name != "" && user != c.name:
		return "", Identity{}, undecided, &Refusal{Code: Unavailable, Err: errOddLogin}
	}
	return user, id, right, nil
}

var (
	errKnownWrong = errors.New("CouchDB has said no to the same credentials lately")
	errAnonymous  = errors.New("CouchDB takes these credentials for anonymous")
	errOddLogin   = errors.New("CouchDB logged in somebody else, or gave no cookie")
)

func statusOf(err error) int {
	var answer interface{ HTTPStatus() int }
	if errors.As(err, &answer) {
		return answer.HTTPStatus()
	}
	return 0
}

// isAboutCredentials: CouchDB says 400 of tokens and cookies that it cannot read.
func isAboutCredentials(err error) bool {
	s := statusOf(err)
	return s == http.StatusBadRequest || s == http.StatusUnauthorized || s == http.StatusForbidden
}

// isLockout: CouchDB has not looked at the password.
func isLockout(c claim, err error) bool {
	return c.name != "" && statusOf(err) == http.StatusForbidden
}
