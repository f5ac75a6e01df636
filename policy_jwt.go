package main

import (
	"encoding/json"
	"time"

	"pouchbridge/auth"
)

// jwtVariables are the variables of the options of [auth.JWTOptions] that faults can be about.
var jwtVariables = map[string]string{
	"Keys": "JWT_KEY", "Secret": "JWT_SECRET", "JWKSURL": "JWT_JWKS_URL", "Algorithms": "JWT_ALGORITHMS", "Leeway": "JWT_LEEWAY",
	"Database": "JWT_DATABASE", "Names": "JWT_NAMES", "DatabasesClaim": "JWT_DATABASES_CLAIM", "AccessClaim": "JWT_ACCESS_CLAIM",
	"Access": "JWT_ACCESS", "Security": "JWT_SECURITY", "Identity": "JWT_IDENTITY", "RolesClaim": "JWT_ROLES_CLAIM",
}

// jwtIdentities are what JWT_IDENTITY may be.
var jwtIdentities = map[string]auth.IdentityKind{"": auth.ServiceAccount, "service": auth.ServiceAccount, "bearer": auth.Bearer, "proxy": auth.ProxyUser}

func (s *settings) newJWT(f *faults) auth.Policy {
	s.checkServer("JWT_UPSTREAM", s.JWTUpstream, f)
	o := auth.JWTOptions{
		Keys:           text("JWT_KEY", s.JWTKey, s.JWTKeyFile, f),
		Secret:         text("JWT_SECRET", s.JWTSecret, s.JWTSecretFile, f),
		JWKSURL:        s.JWTJWKSURL,
		JWKSInterval:   s.JWTJWKSInterval,
		JWKSOverHTTP:   s.JWTJWKSOverHTTP,
		OnJWKS:         s.logJWKS,
		Algorithms:     s.JWTAlgorithms,
		Issuer:         s.JWTIssuer,
		Audience:       s.JWTAudience,
		Leeway:         s.JWTLeeway,
		Database:       s.JWTDatabase,
		Names:          s.JWTNames,
		DatabasesClaim: s.JWTDatabasesClaim,
		AccessClaim:    s.JWTAccessClaim,
		Access:         accessNamed(s.JWTAccess),
		Upstream:       s.JWTUpstream,
		DesignDocs:     s.JWTDesignDocs,
		CreateMissing:  s.JWTCreate,
		Identity:       jwtIdentities[s.JWTIdentity],
		RolesClaim:     s.JWTRolesClaim,
	}
	if o.Leeway == 0 {
		o.Leeway = -time.Nanosecond // which is none; 0 is the default
	}
	switch s.JWTSecurity {
	case "":
	case "per-user":
		o.Security = json.RawMessage(auth.PerUserSecurity)
	default:
		o.Security = json.RawMessage(s.JWTSecurity)
	}
	policy, err := auth.NewJWT(o)
	if err != nil {
		f.options(err, jwtVariables)
		return nil
	}
	return policy
}

// logJWKS tells of keys that were fetched.
func (s *settings) logJWKS(keys int, err error) {
	if err != nil {
		s.log.Warn().Err(err).Int("keys", keys).Msg("fetching the keys of JWT_JWKS_URL")
		return
	}
	s.log.Debug().Int("keys", keys).Msg("the keys of JWT_JWKS_URL were fetched")
}

// accessNamed is the access of a name that oneof has let through.
func accessNamed(name string) auth.Access {
	for _, a := range []auth.Access{auth.ReadOnly, auth.ReadWrite, auth.WriteOnly} {
		if a.String() == name {
			return a
		}
	}
	return auth.NoAccess
}
