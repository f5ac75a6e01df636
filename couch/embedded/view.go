package embedded

import (
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// The buckets of a database file.
var (
	bucketMeta    = []byte("meta")    // single values, see metaKey
	bucketDocs    = []byte("docs")    // id -> docInfo
	bucketSeqs    = []byte("seqs")    // update sequence -> id
	bucketBodies  = []byte("bodies")  // body key -> encodeBody
	bucketLocal   = []byte("local")   // id of a _local document -> revision number and body
	bucketChunks  = []byte("chunks")  // blob and chunk number -> content
	bucketUploads = []byte("uploads") // blob -> nothing: uploads no document refers to yet

	allBuckets = [][]byte{bucketMeta, bucketDocs, bucketSeqs, bucketBodies, bucketLocal, bucketChunks, bucketUploads}
)

type metaKey string

const (
	metaUUID      metaKey = "uuid"
	metaCreated   metaKey = "created" // Unix seconds
	metaSecurity  metaKey = "security"
	metaRevsLimit metaKey = "revs_limit"
	metaSeq       metaKey = "seq"
	metaLive      metaKey = "doc_count"
	metaDeleted   metaKey = "doc_del_count"
)

// view is a database inside one transaction.
type view struct{ tx *bbolt.Tx }

func (v view) bucket(name []byte) *bbolt.Bucket { return v.tx.Bucket(name) }

func (v view) number(key metaKey) uint64 {
	raw := v.bucket(bucketMeta).Get([]byte(key))
	if len(raw) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(raw)
}

func (v view) setNumber(key metaKey, n uint64) error {
	return v.bucket(bucketMeta).Put([]byte(key), numberKey(n))
}

func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// info returns nil for an unknown document.
func (v view) info(id string) (*docInfo, error) {
	raw := v.bucket(bucketDocs).Get([]byte(id))
	if raw == nil {
		return nil, nil
	}
	return decodeInfo(id, raw)
}

// document reads the revision a leaf or an inner revision names. ok is false if its body is not here.
func (v view) document(id string, l leaf) (d *document, ok bool, err error) {
	e := l.edit()
	if e == nil {
		return nil, false, nil
	}
	d = &document{id: id, revs: l.history, deleted: e.deleted}
	raw := v.bucket(bucketBodies).Get(numberKey(e.body))
	if raw == nil {
		return nil, false, nil
	}
	return d, true, d.decodeBody(raw)
}

// changesAfter calls visit with each document whose latest update is in (since, until], in the order of their updates,
// until visit returns false.
func (v view) changesAfter(since, until uint64, visit func(*docInfo) (bool, error)) error {
	c := v.bucket(bucketSeqs).Cursor()
	for k, id := c.Seek(numberKey(since + 1)); k != nil && binary.BigEndian.Uint64(k) <= until; k, id = c.Next() {
		info, err := v.info(string(id))
		if err != nil {
			return err
		}
		if info == nil {
			return errCorrupt
		}
		if more, err := visit(info); err != nil || !more {
			return err
		}
	}
	return nil
}

// changesBefore is changesAfter backwards: updates in (since, until], newest first.
func (v view) changesBefore(since, until uint64, visit func(*docInfo) (bool, error)) error {
	c := v.bucket(bucketSeqs).Cursor()
	step := c.Prev
	if k, _ := c.Seek(numberKey(until + 1)); k == nil {
		step = c.Last
	}
	for k, id := step(); k != nil && binary.BigEndian.Uint64(k) > since; k, id = c.Prev() {
		info, err := v.info(string(id))
		if err != nil {
			return err
		}
		if more, err := visit(info); err != nil || !more {
			return err
		}
	}
	return nil
}

// countAfter counts the documents updated in (since, until].
func (v view) countAfter(since, until uint64) int {
	n := 0
	c := v.bucket(bucketSeqs).Cursor()
	for k, _ := c.Seek(numberKey(since + 1)); k != nil && binary.BigEndian.Uint64(k) <= until; k, _ = c.Next() {
		n++
	}
	return n
}
