package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// verificationKey is a key that signatures are checked with.
type verificationKey struct {
	kid        string   // empty: the key has no name
	algorithms []string // those it is for
	key        any      // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// keySet is the keys there are. It never changes.
type keySet []verificationKey

var (
	hmacAlgorithms = [...]string{"HS256", "HS384", "HS512"}
	rsaAlgorithms  = [...]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
)

// errUnknownKey is the error of find when a newer set may have the key.
var errUnknownKey = errors.New("no key fits the token")

// allAlgorithms are those of RFC 7518 and RFC 8037 that sign, "none" excepted.
func allAlgorithms() []string {
	return slices.Concat(hmacAlgorithms[:], rsaAlgorithms[:], []string{"ES256", "ES384", "ES512", "EdDSA"})
}

// newVerificationKey makes a key of the type's algorithms, or of alg alone if that is not empty.
func newVerificationKey(key any, kid, alg string) (verificationKey, error) {
	algorithms, err := algorithmsOf(key)
	if err != nil {
		return verificationKey{}, err
	}
	if alg != "" {
		if !slices.Contains(algorithms, alg) {
			return verificationKey{}, fmt.Errorf("key is for the algorithm %.20q, but of a type for %s", alg, strings.Join(algorithms, ", "))
		}
		algorithms = []string{alg}
	}
	return verificationKey{kid, algorithms, key}, nil
}

// algorithmsOf are the algorithms of a key's type. A key that is too weak, or so long that checking takes too much time, is
// an error.
func algorithmsOf(key any) ([]string, error) {
	switch key := key.(type) {
	case []byte:
		return hmacAlgorithms[:], checkHMACKey(key)
	case *rsa.PublicKey:
		return rsaAlgorithms[:], checkRSA(key)
	case *ecdsa.PublicKey:
		switch name := key.Params().Name; name {
		case "P-256":
			return []string{"ES256"}, nil
		case "P-384":
			return []string{"ES384"}, nil
		case "P-521":
			return []string{"ES512"}, nil
		default:
			return nil, fmt.Errorf("key is on the curve %s: P-256, P-384 and P-521 are supported", name)
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}, nil
	default:
		return nil, fmt.Errorf("key is a %T: public keys of RSA, ECDSA and Ed25519 are supported", key)
	}
}

func checkRSA(key *rsa.PublicKey) error {
	const least, most = 2048, 8192
	if n := key.N.BitLen(); n < least || n > most {
		return fmt.Errorf("RSA key has %d bits; it must have %d to %d", n, least, most)
	}
	if key.E < 3 || key.E%2 == 0 || key.E > 1<<31-1 {
		return errors.New("RSA key has an exponent that is none")
	}
	return nil
}

// find finds the one key that fits a header: by name if the token names one, and for its algorithm. Keys that have no name
// may have any. Two that fit are an error, too: guessing would take trying them.
func (s keySet) find(h tokenHeader) (any, error) {
	candidates, named := s.candidates(h.Kid)
	var found *verificationKey
	for i := range candidates {
		k := &candidates[i]
		if !slices.Contains(k.algorithms, h.Alg) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("more than one key is for alg %.20q and kid %.100q", h.Alg, h.Kid)
		}
		found = k
	}
	switch {
	case found != nil:
		return found.key, nil
	case named:
		return nil, fmt.Errorf("the key of kid %.100q is not for alg %.20q", h.Kid, h.Alg)
	default:
		return nil, fmt.Errorf("%w: kid %.100q, alg %.20q", errUnknownKey, h.Kid, h.Alg)
	}
}

// candidates are the keys that a token with this kid may mean, and whether they have it for a name.
func (s keySet) candidates(kid string) (_ keySet, named bool) {
	if kid == "" {
		return s, false
	}
	var same, nameless keySet
	for _, k := range s {
		switch k.kid {
		case kid:
			same = append(same, k)
		case "":
			nameless = append(nameless, k)
		}
	}
	if len(same) > 0 {
		return same, true
	}
	return nameless, false
}
