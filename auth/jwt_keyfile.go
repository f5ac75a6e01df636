package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
)

// maxJWKs bounds the keys of a set.
const maxJWKs = 100

// errForeignKey is the cause when a key of a set is none for checking signatures, or of a type that is not known here. Sets
// have those beside others (RFC 7517, section 5).
var errForeignKey = errors.New("key is not for signatures, or of an unknown type")

// parseKeys reads PEM blocks or a JSON Web Key Set.
func parseKeys(text []byte) (keySet, error) {
	text = bytes.TrimSpace(text)
	if bytes.HasPrefix(text, []byte("{")) {
		keys, faults, err := parseJWKS(text)
		if err = errors.Join(err, faults); err == nil && len(keys) == 0 {
			err = errors.New("the set has no key for signatures")
		}
		return keys, err
	}
	return parsePEM(text)
}

// parsePEM reads blocks of public keys and certificates.
func parsePEM(text []byte) (keySet, error) {
	var keys keySet
	n := bytes.Count(text, []byte("-----BEGIN "))
	if n == 0 {
		return nil, errors.New("is neither PEM (-----BEGIN PUBLIC KEY-----) nor a JSON Web Key Set")
	}
	if n > maxJWKs {
		return nil, fmt.Errorf("has %d keys; at most %d", n, maxJWKs)
	}
	for i := 1; ; i++ {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		key, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", i, err)
		}
		keys, text = append(keys, key), rest
	}
	if len(keys) != n { // the decoder passes over what it cannot read
		return nil, fmt.Errorf("%d of %d PEM blocks cannot be read", n-len(keys), n)
	}
	return keys, nil
}

func parseBlock(block *pem.Block) (verificationKey, error) {
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	default:
		err = fmt.Errorf("is a %.40q; a PUBLIC KEY or CERTIFICATE is needed, and nothing private", block.Type)
	}
	if err != nil {
		return verificationKey{}, err
	}
	return newVerificationKey(key, block.Headers["kid"], "")
}

// parseJWKS reads a JSON Web Key Set (RFC 7517). Keys of no concern here are left out; faults says which others cannot be
// used, and err that it is no set.
func parseJWKS(text []byte) (keys keySet, faults, err error) {
	var set struct {
		Keys *[]jwkset.JWKMarshal `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, nil, fmt.Errorf("not a JSON Web Key Set: %w", err)
	}
	if set.Keys == nil {
		return nil, nil, errors.New(`not a JSON Web Key Set: it has no "keys"`)
	}
	if len(*set.Keys) > maxJWKs {
		return nil, nil, fmt.Errorf("the set has %d keys; at most %d", len(*set.Keys), maxJWKs)
	}
	for i, jwk := range *set.Keys {
		key, err := parseJWK(jwk)
		switch {
		case err == nil:
			keys = append(keys, key)
		case !errors.Is(err, errForeignKey):
			faults = errors.Join(faults, fmt.Errorf("keys[%d], kid %.100q: %w", i, jwk.KID, err))
		}
	}
	return keys, faults, nil
}

func parseJWK(jwk jwkset.JWKMarshal) (verificationKey, error) {
	if jwk.USE != "" && jwk.USE != jwkset.UseSig || len(jwk.KEYOPS) > 0 && !slices.Contains(jwk.KEYOPS, jwkset.KeyOpsVerify) {
		return verificationKey{}, errForeignKey
	}
	if jwk.D != "" {
		return verificationKey{}, errors.New("is a private key; give the public one")
	}
	// Validation compares what was read with what it was read from and looks at x5c and x5u, which play no part here.
	read, err := jwkset.NewJWKFromMarshal(jwk, jwkset.JWKMarshalOptions{Private: true}, jwkset.JWKValidateOptions{SkipAll: true})
	if errors.Is(err, jwkset.ErrUnsupportedKey) {
		return verificationKey{}, errForeignKey
	}
	if err != nil {
		return verificationKey{}, err
	}
	if jwk.CRV == jwkset.CrvX25519 {
		return verificationKey{}, errForeignKey
	}
	return newVerificationKey(read.Key(), jwk.KID, jwk.ALG.String())
}

// parseHMACKey reads the key of the HMAC algorithms.
func parseHMACKey(text []byte) (verificationKey, error) {
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	return newVerificationKey(bytes.Clone(text), "", "")
}

// checkHMACKey refuses what can be guessed, and what is known to others: with a public key for a secret everybody could
// sign.
func checkHMACKey(secret []byte) error {
	const least = 32
	switch {
	case len(secret) < least:
		return fmt.Errorf("secret has %d bytes; it must have at least %d", len(secret), least)
	case isPublicKey(secret):
		return errors.New("secret is a key or certificate, which others know; give it as a public key")
	default:
		return nil
	}
}

// isPublicKey tells whether text is a public key in one of the forms in which they are passed around.
func isPublicKey(text []byte) bool {
	text = bytes.TrimSpace(text)
	if bytes.Contains(text, []byte("-----BEGIN ")) {
		return true
	}
	if bytes.HasPrefix(text, []byte("{")) && json.Valid(text) {
		return true
	}
	der := text
	if decoded, err := base64.StdEncoding.DecodeString(string(text)); err == nil {
		der = decoded
	}
	return isDER(der)
}

func isDER(b []byte) bool {
	if _, err := x509.ParsePKIXPublicKey(b); err == nil {
		return true
	}
	if _, err := x509.ParseCertificate(b); err == nil {
		return true
	}
	_, err := x509.ParsePKCS1PublicKey(b)
	return err == nil
}
