package embedded

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A sequence leaves the store as "N-opaque". The opaque part is 16 bytes in URL-safe base64: 8 that stand for the
// database's uuid and 8 that seal these with the number, so that nothing but a sequence this store gave is taken.
//
// A sequence of another database, or of an earlier life of this one, means starting from 0, as CouchDB does when the
// uuid in it is unknown: the client then sees every change, none is lost.

func (db *database) sequence(n uint64) string {
	owner := sha256.Sum256([]byte(db.uuid))
	return sealSequence(n, owner[:8])
}

func sealSequence(n uint64, owner []byte) string {
	seal := sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte("pouchbridge sequence"), owner...), n))
	opaque := append(append([]byte(nil), owner...), seal[:8]...)
	return strconv.FormatUint(n, 10) + "-" + base64.RawURLEncoding.EncodeToString(opaque)
}

// parseSince reads the since parameter: 0, a sequence, or a sequence as a JSON string. "now" is not its business.
func (db *database) parseSince(text string) (uint64, error) {
	if strings.HasPrefix(text, `"`) {
		unquoted, ok := stringValue(jsontext.Value(text))
		if !ok {
			return 0, errSince
		}
		text = unquoted
	}
	if text == "0" {
		return 0, nil
	}
	number, opaque, _ := strings.Cut(text, "-")
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil {
		return 0, errSince
	}
	raw, err := base64.RawURLEncoding.DecodeString(opaque)
	if err != nil || len(raw) != 16 || sealSequence(n, raw[:8]) != text {
		return 0, errSince
	}
	if db.sequence(n) != text {
		return 0, nil
	}
	return n, nil
}
