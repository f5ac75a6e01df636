package embedded

import (
	"crypto/md5"
	"encoding/binary"
	"errors"
	"hash"
	"io"
)

// Contents of attachments are blobs: chunks of chunkSize bytes, the last one shorter. A blob is never changed, and
// later revisions share it.
const (
	chunkSize = 256 << 10
	// uploadPiece is how much of an upload is held in memory and committed at once. Smaller attachments are committed
	// together with their document.
	uploadPiece = 4 * chunkSize
)

func chunkKey(blob, n uint64) []byte { return binary.BigEndian.AppendUint64(numberKey(blob), n) }

// putChunks stores data as the chunks of a blob from number first on.
func (v view) putChunks(blob, first uint64, data []byte) error {
	chunks := v.bucket(bucketChunks)
	for n := first; len(data) > 0; n++ {
		size := min(chunkSize, len(data))
		if err := chunks.Put(chunkKey(blob, n), data[:size]); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

// keepContent makes new content part of the database, in the transaction of its document.
func (v view) keepContent(a *attachment) (err error) {
	switch a.source {
	case inlineContent:
		if a.blob, err = v.bucket(bucketChunks).NextSequence(); err != nil {
			return err
		}
		return v.putChunks(a.blob, 0, a.data)
	case uploadedContent:
		return v.bucket(bucketUploads).Delete(numberKey(a.blob))
	case stubContent, followsContent:
		return errors.New("embedded: attachment without content")
	default:
		return nil
	}
}

// upload reads new content into a, on disk as soon as it is more than a piece. An upload that then serves no document
// must be discarded.
func (db *database) upload(a *attachment, r io.Reader) error {
	sum := md5.New()
	piece, err := readPiece(r, sum)
	if err != nil {
		return err
	}
	a.length = int64(len(piece))
	if a.length > db.options.MaxAttachmentSize {
		return tooLargeAttachment(a)
	}
	if len(piece) < uploadPiece {
		a.source, a.data, a.digest = inlineContent, piece, string(sum.Sum(nil))
		return nil
	}
	a.source = uploadedContent
	if err := db.update(func(v view) error { return v.beginUpload(a) }); err != nil {
		return err
	}
	for chunk := uint64(0); len(piece) > 0; {
		if err := db.update(func(v view) error { return v.putChunks(a.blob, chunk, piece) }); err != nil {
			return err
		}
		chunk += uploadPiece / chunkSize
		if piece, err = readPiece(r, sum); err != nil {
			return err
		}
		if a.length += int64(len(piece)); a.length > db.options.MaxAttachmentSize {
			return tooLargeAttachment(a)
		}
	}
	a.digest = string(sum.Sum(nil))
	return nil
}

func tooLargeAttachment(a *attachment) *failure {
	return &failure{status: 413, name: "attachment_too_large", reason: a.name}
}

// readPiece reads uploadPiece bytes, or less at the end.
func readPiece(r io.Reader, sum hash.Hash) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, uploadPiece))
	if err != nil {
		var f *failure
		if errors.As(err, &f) {
			return nil, err
		}
		return nil, badRequest("The body could not be read to its end.")
	}
	_, _ = sum.Write(data) // never fails
	return data, nil
}

func (v view) beginUpload(a *attachment) (err error) {
	if a.blob, err = v.bucket(bucketChunks).NextSequence(); err != nil {
		return err
	}
	return v.bucket(bucketUploads).Put(numberKey(a.blob), []byte{})
}

// discard removes the uploads of a document that was not stored.
func (db *database) discard(d *document) error {
	uploaded := false
	for _, a := range d.atts {
		uploaded = uploaded || a.source == uploadedContent
	}
	if !uploaded {
		return nil
	}
	return db.update(func(v view) error {
		for _, a := range d.atts {
			if a.source == uploadedContent && v.bucket(bucketUploads).Get(numberKey(a.blob)) != nil {
				if err := v.dropBlob(a.blob); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// discardUploads removes what an earlier process left unfinished.
func (v view) discardUploads() error {
	var blobs []uint64
	err := v.bucket(bucketUploads).ForEach(func(key, _ []byte) error {
		blobs = append(blobs, binary.BigEndian.Uint64(key))
		return nil
	})
	for _, blob := range blobs {
		err = errors.Join(err, v.dropBlob(blob))
	}
	return err
}

func (v view) dropBlob(blob uint64) error {
	chunks := v.bucket(bucketChunks)
	for n := uint64(0); chunks.Get(chunkKey(blob, n)) != nil; n++ {
		if err := chunks.Delete(chunkKey(blob, n)); err != nil {
			return err
		}
	}
	return v.bucket(bucketUploads).Delete(numberKey(blob))
}

// content reads a whole blob into memory.
func (v view) content(a *attachment) ([]byte, error) {
	data := make([]byte, 0, a.length)
	for n := uint64(0); int64(len(data)) < a.length; n++ {
		chunk := v.bucket(bucketChunks).Get(chunkKey(a.blob, n))
		if chunk == nil {
			return nil, errCorrupt
		}
		data = append(data, chunk...)
	}
	return data, nil
}

// blobReader reads a blob, one transaction per chunk, so that a slow client holds none open.
type blobReader struct {
	db     *database
	blob   uint64
	length int64
	offset int64
	number uint64 // of chunk, when that is not nil
	chunk  []byte
}

func (db *database) open(a *attachment) *blobReader {
	return &blobReader{db: db, blob: a.blob, length: a.length}
}

func (b *blobReader) Read(p []byte) (int, error) {
	if b.offset >= b.length {
		return 0, io.EOF
	}
	if number := uint64(b.offset / chunkSize); b.chunk == nil || number != b.number {
		if err := b.load(number); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.chunk[b.offset%chunkSize:])
	b.offset += int64(n)
	return n, nil
}

func (b *blobReader) load(number uint64) error {
	return b.db.view(func(v view) error {
		raw := v.bucket(bucketChunks).Get(chunkKey(b.blob, number))
		if int64(len(raw)) <= b.offset%chunkSize {
			return errCorrupt
		}
		b.number, b.chunk = number, append(b.chunk[:0], raw...)
		return nil
	})
}

// Seek implements io.Seeker.
func (b *blobReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.offset
	case io.SeekEnd:
		offset += b.length
	}
	if offset < 0 {
		return 0, errors.New("embedded: seek before the start of an attachment")
	}
	b.offset = offset
	return offset, nil
}
