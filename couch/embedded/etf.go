package embedded

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// newRevisionID computes the id CouchDB gives to an edit, so that the same edit made on two replicas is the same
// revision: the MD5 of [Deleted, OldStart, OldRev, Body, Atts] in Erlang's external term format, minor version 1
// (couch_db:new_revid/1, https://www.erlang.org/doc/apps/erts/erl_ext_dist). d.revs is the history being edited.
func newRevisionID(d *document) (string, error) {
	term := []byte{131, 108, 0, 0, 0, 5}
	term = appendAtom(term, strconv.FormatBool(d.deleted))
	term = appendInteger(term, strconv.Itoa(d.revs.start))
	if d.revs.none() {
		term = append(term, 97, 0)
	} else {
		term = appendBinary(term, d.revs.ids[0])
	}
	term, err := appendTerm(term, d.object())
	if err != nil {
		return "", err
	}
	term = appendAttachmentTerms(term, d.atts)
	term = append(term, 106)
	sum := md5.Sum(term)
	return string(sum[:]), nil
}

// appendAttachmentTerms adds [{Name, Type, MD5}, ...], last attachment first as CouchDB's fold leaves it.
func appendAttachmentTerms(dst []byte, atts []attachment) []byte {
	if len(atts) > 0 {
		dst = appendListHeader(dst, len(atts))
	}
	for i := len(atts) - 1; i >= 0; i-- {
		dst = append(dst, 104, 3)
		dst = appendBinary(dst, atts[i].name)
		dst = appendBinary(dst, atts[i].contentType)
		dst = appendBinary(dst, atts[i].digest)
	}
	return append(dst, 106)
}

// appendTerm adds a JSON value as CouchDB's decoder hands it to Erlang: objects are {[{Key, Value}, ...]}, strings
// binaries, literals atoms.
func appendTerm(dst []byte, value jsontext.Value) ([]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(value), jsontext.AllowDuplicateNames(true))
	return appendNextTerm(dst, dec)
}

func appendNextTerm(dst []byte, dec *jsontext.Decoder) ([]byte, error) {
	switch dec.PeekKind() {
	case '{':
		return appendObjectTerm(dst, dec)
	case '[':
		return appendArrayTerm(dst, dec)
	}
	token, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case '"':
		return appendBinary(dst, token.String()), nil
	case '0':
		return appendNumber(dst, token.String()), nil
	default: // null, false, true
		return appendAtom(dst, token.String()), nil
	}
}

func appendObjectTerm(dst []byte, dec *jsontext.Decoder) ([]byte, error) {
	dst = append(dst, 104, 1)
	return appendElements(dst, dec, func(dst []byte) ([]byte, error) {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		return appendNextTerm(appendBinary(append(dst, 104, 2), name.String()), dec)
	})
}

// appendArrayTerm adds a list. Erlang writes a list of bytes as a string term.
func appendArrayTerm(dst []byte, dec *jsontext.Decoder) ([]byte, error) {
	start := len(dst)
	var small []byte
	allBytes := true
	dst, err := appendElements(dst, dec, func(dst []byte) ([]byte, error) {
		at := len(dst)
		dst, err := appendNextTerm(dst, dec)
		if err == nil && allBytes && dst[at] == 97 {
			small = append(small, dst[at+1])
		} else {
			allBytes = false
		}
		return dst, err
	})
	if err != nil || !allBytes || len(small) == 0 || len(small) > math.MaxUint16 {
		return dst, err
	}
	dst = append(dst[:start], 107)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(small)))
	return append(dst, small...), nil
}

// appendElements adds the list of what is between the next pair of brackets, one element per call.
func appendElements(dst []byte, dec *jsontext.Decoder, element func([]byte) ([]byte, error)) ([]byte, error) {
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	start := len(dst)
	dst = appendListHeader(dst, 0)
	count := 0
	for kind := dec.PeekKind(); kind != ']' && kind != '}'; kind = dec.PeekKind() {
		var err error
		if dst, err = element(dst); err != nil {
			return nil, err
		}
		count++
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	if count == 0 {
		return append(dst[:start], 106), nil
	}
	binary.BigEndian.PutUint32(dst[start+1:], uint32(count))
	return append(dst, 106), nil
}

func appendListHeader(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 108), uint32(n))
}

func appendBinary(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(append(dst, 109), uint32(len(s))), s...)
}

func appendAtom(dst []byte, name string) []byte {
	return append(binary.BigEndian.AppendUint16(append(dst, 100), uint16(len(name))), name...)
}

func appendNumber(dst []byte, text string) []byte {
	if !strings.ContainsAny(text, ".eE") {
		return appendInteger(dst, text)
	}
	f, _ := strconv.ParseFloat(text, 64) // out of range: ±Inf, still a stable id
	return binary.BigEndian.AppendUint64(append(dst, 70), math.Float64bits(f))
}

func appendInteger(dst []byte, text string) []byte {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err == nil && n >= 0 && n <= math.MaxUint8:
		return append(dst, 97, byte(n))
	case err == nil && n >= math.MinInt32 && n <= math.MaxInt32:
		return binary.BigEndian.AppendUint32(append(dst, 98), uint32(int32(n)))
	}
	return appendBigInteger(dst, text)
}

// appendBigInteger adds sign and magnitude, least significant byte first.
func appendBigInteger(dst []byte, text string) []byte {
	n, _ := new(big.Int).SetString(text, 10)
	magnitude := n.Bytes()
	if len(magnitude) <= math.MaxUint8 {
		dst = append(dst, 110, byte(len(magnitude)))
	} else {
		dst = binary.BigEndian.AppendUint32(append(dst, 111), uint32(len(magnitude)))
	}
	sign := byte(0)
	if n.Sign() < 0 {
		sign = 1
	}
	dst = append(dst, sign)
	for i := len(magnitude) - 1; i >= 0; i-- {
		dst = append(dst, magnitude[i])
	}
	return dst
}
