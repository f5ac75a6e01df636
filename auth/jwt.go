package auth

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

// maxJWT is the size in bytes from which a token is refused unread. Servers refuse longer headers as well.
const maxJWT = 8 << 10

// JWT grants what the claims of a JSON Web Token say (RFC 7519, signed as by RFC 7515). The credentials are
// {"token": "…"}, and nothing else, with a token of three parts; for credentials of another form it abstains. [NewJWT]
// makes one; it is safe for concurrent use.
//
// A token is good if a key of [JWTOptions] made its signature, with an algorithm of that key's type: alg is never believed
// alone, so neither "none" nor HMAC with a public key gets through. It must have exp and not be past it; nbf and iat, if
// there, must not lie in the future by more than the leeway. A token that has aud is refused unless it has one of
// [JWTOptions.Audience], as RFC 7519 demands: it was made for somebody else. Refused as well are a member given twice in
// header or claims, and any critical extension (crit).
//
// The grant ends at exp, its Subject is sub and its TokenID is jti.
type JWT struct {
	options JWTOptions
	parser  *jwt.Parser
	keys    keySet
	remote  *remoteKeys // nil without a URL

	// One of these two picks the database.
	database  nameTemplate
	databases string // the claim

	names    pattern // what may be asked for, if options.Names is set
	security *securityTemplate
}

// NewJWT makes a [JWT] policy, or says everything that is wrong with the options. With a JWKSURL it starts a goroutine,
// which [JWT.Close] ends; it does not wait for the first answer.
func NewJWT(o JWTOptions) (*JWT, error) {
	j, err := o.compile()
	if err != nil {
		return nil, err
	}
	j.parser = jwt.NewParser(
		jwt.WithValidMethods(j.options.Algorithms),
		jwt.WithStrictDecoding(),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(j.options.Leeway),
		jwt.WithIssuer(o.Issuer),
		jwt.WithAudience(o.Audience...),
	)
	if o.JWKSURL != "" {
		j.remote = startRemoteKeys(j.options, j.keys)
	}
	return j, nil
}

// Close ends the refreshing of keys and waits for it. The policy goes on with the keys it has.
func (j *JWT) Close() error {
	if j.remote != nil {
		j.remote.close()
	}
	return nil
}

// OnRequest grants what the token in the credentials says.
func (j *JWT) OnRequest(ctx context.Context, r Request) (Grant, error) {
	token, err := jwtOf(r)
	if err != nil {
		return Grant{}, err
	}
	c, err := j.verify(ctx, token)
	if err != nil {
		return Grant{}, err
	}
	g, err := j.grant(c, r.Database)
	if err != nil {
		return Grant{}, &Refusal{Code: Forbidden, Message: "this token does not open the database asked for", Err: err}
	}
	if j.options.Identity == Bearer {
		g.Identity.Secret = token
	}
	return g, nil
}

// jwtOf reads the credentials: the token, or [Abstain], or a refusal of a token that is too long to look at.
func jwtOf(r Request) (string, error) {
	var c struct {
		Token string `json:"token"`
	}
	// This decoder, unlike the standard one, refuses a member given twice and takes no "Token" for "token".
	err := json.Unmarshal(r.Credentials, &c, json.RejectUnknownMembers(true))
	switch {
	case err != nil || strings.Count(c.Token, ".") != 2:
		return "", Abstain
	case len(c.Token) > maxJWT:
		return "", badJWT(errors.New("token is longer than 8 KiB"))
	case !isJWT(c.Token):
		return "", Abstain
	default:
		return c.Token, nil
	}
}

// verify returns the claims of a token that is good; the error is a [*Refusal].
func (j *JWT) verify(ctx context.Context, token string) (tokenClaims, error) {
	h, err := parseTokenHeader(token)
	if err != nil {
		return tokenClaims{}, badJWT(err)
	}
	key, err := j.key(ctx, h)
	if err != nil {
		return tokenClaims{}, err
	}
	var c tokenClaims
	if _, err := j.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
		return tokenClaims{}, badJWT(err)
	}
	if err := c.check(time.Now(), len(j.options.Audience) > 0); err != nil {
		return tokenClaims{}, badJWT(err)
	}
	return c, nil
}

// key finds the key that must have signed a token with header h; the error is a [*Refusal].
func (j *JWT) key(ctx context.Context, h tokenHeader) (any, error) {
	if err := h.check(j.options.Algorithms); err != nil {
		return nil, badJWT(err)
	}
	if j.remote != nil {
		return j.remote.find(ctx, h)
	}
	key, err := j.keys.find(h)
	if err != nil {
		return nil, badJWT(err)
	}
	return key, nil
}

// badJWT refuses a token. Its holder learns when it was, or will be, good; nothing else helps them, and an attacker is
// told nothing about keys.
func badJWT(err error) *Refusal {
	message := "token is not valid"
	switch { // the parser looks at times only once the signature is good
	case errors.Is(err, jwt.ErrTokenExpired):
		message = "token has expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		message = "token is not valid yet"
	}
	return &Refusal{Code: Unauthorized, Message: message, Err: err}
}

// grant is what claims open under a name; the error says why they do not.
func (j *JWT) grant(c tokenClaims, name string) (Grant, error) {
	if j.options.Names != "" {
		if _, ok := j.names.match(name); !ok {
			return Grant{}, errors.New("the name asked for is not one of those that may be asked for")
		}
	}
	g := Grant{Upstream: j.options.Upstream, DesignDocs: j.options.DesignDocs, Expires: c.expires(), Subject: c.string("sub"), TokenID: c.string("jti")}
	create := j.options.CreateMissing
	var err error
	if j.databases != "" {
		create, err = j.fromList(&g, c, name)
	} else {
		err = j.fromTemplate(&g, c, name)
	}
	if err != nil {
		return Grant{}, err
	}
	if err := checkTokenDatabase(g.Database); err != nil {
		return Grant{}, err
	}
	if create {
		if g.Create, err = j.creation(c); err != nil {
			return Grant{}, err
		}
	}
	g.Identity, err = j.identity(c)
	return g, err
}

// fromTemplate fills in the database and the access of the template form.
func (j *JWT) fromTemplate(g *Grant, c tokenClaims, name string) (err error) {
	if g.Database, err = j.database.expand(c, name); err != nil {
		return err
	}
	g.Access = j.options.Access
	if j.options.AccessClaim == "" {
		return nil
	}
	v, ok := c.lookup(j.options.AccessClaim)
	if !ok && g.Access != NoAccess {
		return nil
	}
	g.Access, err = claimedAccess(v)
	return err
}

// creation is how the database is made.
func (j *JWT) creation(c tokenClaims) (*Creation, error) {
	if j.security == nil {
		return &Creation{}, nil
	}
	security, err := j.security.expand(c)
	return &Creation{Security: security}, err
}

// identity is who CouchDB sees, without the secret of a Bearer.
func (j *JWT) identity(c tokenClaims) (Identity, error) {
	i := Identity{Kind: j.options.Identity}
	if i.Kind != ProxyUser {
		return i, nil
	}
	var err error
	if i.Name, err = c.userName(); err != nil {
		return Identity{}, err
	}
	if j.options.RolesClaim != "" {
		i.Roles, err = c.roles(j.options.RolesClaim)
	}
	return i, err
}
