package embedded

import (
	"bytes"
	"cmp"
	"math"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// rowsPerView is how many rows are read in one transaction, so that no slow client holds one open.
const rowsPerView = 256

// bytesPerView likewise bounds what is read in one transaction, and so the memory it takes.
const bytesPerView = 1 << 20

// allDocsQuery is what _all_docs was asked for. Keys compare by their bytes.
type allDocsQuery struct {
	keys             []jsontext.Value // nil: a range
	from, to         *string
	exclusiveEnd     bool
	descending       bool
	limit, skip      int
	includeDocs      bool
	conflicts        bool
	attachments      bool
	includeUpdateSeq bool
}

func (r *request) getAllDocs() error { return r.sendAllDocs(nil) }

func (r *request) postAllDocs() error {
	var body jsontext.Value
	if r.hasBody() {
		var err error
		if body, err = r.readObject(); err != nil {
			return err
		}
	}
	return r.sendAllDocs(body)
}

// parseAllDocs reads the parameters of the query and of the body, which takes the same as a JSON object.
func parseAllDocs(query url.Values, body jsontext.Value) (*allDocsQuery, error) {
	q := &allDocsQuery{limit: math.MaxInt}
	for name, values := range query {
		if err := q.set(name, values[0]); err != nil {
			return nil, err
		}
	}
	if body == nil {
		return q, nil
	}
	return q, members(body, func(m member) error { return q.set(m.name, string(m.value)) })
}

// set reads one parameter; all are JSON. Unknown ones are ignored.
func (q *allDocsQuery) set(name, text string) (err error) {
	switch name {
	case "key", "startkey", "start_key", "endkey", "end_key", "keys":
		return q.setKey(name, text)
	case "limit":
		q.limit, err = parseCount(text)
	case "skip":
		q.skip, err = parseCount(text)
	case "descending":
		q.descending = text == "true"
	case "inclusive_end":
		q.exclusiveEnd = text == "false"
	case "include_docs":
		q.includeDocs = text == "true"
	case "conflicts":
		q.conflicts = text == "true"
	case "attachments":
		q.attachments = text == "true"
	case "update_seq":
		q.includeUpdateSeq = text == "true"
	}
	return err
}

func parseCount(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, &failure{status: 400, name: "query_parse_error", reason: `Invalid value for integer: "` + text + `"`}
	}
	return n, nil
}

func (q *allDocsQuery) setKey(name, text string) error {
	v, err := compactJSON([]byte(text))
	if err != nil {
		return err
	}
	if name == "keys" {
		q.keys = []jsontext.Value{}
		isArray, err := elements(v, func(e jsontext.Value) error {
			q.keys = append(q.keys, e)
			return nil
		})
		if err == nil && !isArray {
			err = badRequest("`keys` body member must be an array.")
		}
		return err
	}
	key, _ := stringValue(v) // any other value sorts before all ids
	switch name {
	case "startkey", "start_key":
		q.from = &key
	case "endkey", "end_key":
		q.to = &key
	case "key":
		q.from, q.to = &key, &key
	}
	return nil
}

func (r *request) sendAllDocs(body jsontext.Value) error {
	q, err := parseAllDocs(r.query, body)
	if err != nil {
		return err
	}
	c, err := r.db.counts()
	if err != nil {
		return err
	}
	r.out.Header().Set("Content-Type", "application/json")
	out := streamed{to: r.out}
	list := &allDocsList{db: r.db, q: q, out: &out}
	list.total = c.live
	if q.includeUpdateSeq {
		list.updateSeq = r.db.sequence(c.seq)
	}
	if q.keys != nil {
		err = list.keyRows()
	} else {
		err = list.rangeRows()
	}
	if err != nil {
		return err
	}
	if list.rows == 0 {
		out.buf.WriteString("\r\n")
	}
	out.buf.WriteString("\r\n]}\n")
	return out.flush()
}

// allDocsList writes the rows.
type allDocsList struct {
	db        *database
	q         *allDocsQuery
	out       *streamed
	total     uint64
	updateSeq string // empty: not asked for
	rows      int    // written so far
}

func (l *allDocsList) begin(offset string) error {
	head := []byte(`{"total_rows":` + strconv.FormatUint(l.total, 10) + `,"offset":` + offset)
	if l.updateSeq != "" {
		head = appendString(append(head, `,"update_seq":`...), l.updateSeq)
	}
	return l.out.write(append(head, `,"rows":[`...))
}

func (l *allDocsList) write(row []byte) error {
	separator := ",\r\n"
	if l.rows == 0 {
		separator = "\r\n"
	}
	l.rows++
	return l.out.write(append([]byte(separator), row...))
}

// keyRows answers the keys parameter, in its order, one row each.
func (l *allDocsList) keyRows() error {
	if err := l.begin("null"); err != nil {
		return err
	}
	keys := l.q.keys
	for i, key := range keys[min(l.q.skip, len(keys)):] {
		if i >= l.q.limit {
			break
		}
		row, err := l.keyRow(key)
		if err != nil {
			return err
		}
		if err := l.write(row); err != nil {
			return err
		}
	}
	return nil
}

func (l *allDocsList) keyRow(key jsontext.Value) (row []byte, err error) {
	id, _ := stringValue(key)
	err = l.db.view(func(v view) error {
		info, err := v.info(id)
		if err != nil {
			return err
		}
		if info == nil || key.Kind() != '"' {
			row = append(append(append(row, `{"key":`...), key...), `,"error":"not_found"}`...)
			return nil
		}
		row, err = l.row(v, info)
		return err
	})
	return row, err
}

func (l *allDocsList) row(v view, info *docInfo) ([]byte, error) {
	win := info.tree.ranked()[0]
	id := appendString(nil, info.id)
	row := append(append(append([]byte(`{"id":`), id...), `,"key":`...), id...)
	row = appendString(append(row, `,"value":{"rev":`...), win.revision().String())
	if win.edit().deleted {
		row = append(row, `,"deleted":true`...)
	}
	row = append(row, '}')
	if !l.q.includeDocs {
		return append(row, '}'), nil
	}
	row = append(row, `,"doc":`...)
	if win.edit().deleted {
		return append(row, "null}"...), nil
	}
	o := &openOptions{conflicts: l.q.conflicts, attachments: l.q.attachments}
	got, err := v.openWinner(info, o)
	if err != nil {
		return nil, err
	}
	return append(append(row, o.json(got)...), '}'), nil
}

// rangeRows answers startkey and endkey, a few rows per transaction.
func (l *allDocsList) rangeRows() error {
	walk := &idWalk{q: l.q, skip: l.q.skip, limit: l.q.limit}
	if err := l.db.view(walk.countBefore); err != nil {
		return err
	}
	if err := l.begin(strconv.Itoa(walk.offset + l.q.skip)); err != nil {
		return err
	}
	for done := false; !done; {
		var rows [][]byte
		err := l.db.view(func(v view) error {
			rows = rows[:0]
			size := 0
			var err error
			done, err = walk.next(v, func(info *docInfo) (more bool, err error) {
				row, err := l.row(v, info)
				rows = append(rows, row)
				size += len(row)
				return size < bytesPerView, err
			})
			return err
		})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := l.write(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// idWalk visits the undeleted documents of a range over several transactions.
type idWalk struct {
	q           *allDocsQuery
	skip, limit int
	offset      int    // undeleted documents before the range
	last        []byte // id visited last, nil at the start
}

// countBefore finds the offset of the range among all documents.
func (w *idWalk) countBefore(v view) error {
	if w.q.from == nil {
		return nil
	}
	all := &idWalk{q: &allDocsQuery{descending: w.q.descending}}
	k, raw := all.first(v)
	step := all.stepper(v)
	for ; k != nil && w.beforeRange(k); k, raw = step(k) {
		info, err := decodeInfo(string(k), raw)
		if err != nil {
			return err
		}
		if !info.deleted() {
			w.offset++
		}
	}
	return nil
}

func (w *idWalk) beforeRange(k []byte) bool {
	order := bytes.Compare(k, []byte(*w.q.from))
	return order < 0 && !w.q.descending || order > 0 && w.q.descending
}

func (w *idWalk) afterRange(k []byte) bool {
	if w.q.to == nil {
		return false
	}
	order := cmp.Compare(string(k), *w.q.to)
	if w.q.descending {
		order = -order
	}
	return order > 0 || order == 0 && w.q.exclusiveEnd
}

// first seeks the start of the range or what follows the last id.
func (w *idWalk) first(v view) (key, value []byte) {
	c := v.bucket(bucketDocs).Cursor()
	from := w.last
	if from == nil && w.q.from != nil {
		from = []byte(*w.q.from)
	}
	switch {
	case from == nil && w.q.descending:
		return c.Last()
	case from == nil:
		return c.First()
	}
	k, raw := c.Seek(from)
	if w.q.descending {
		if k == nil {
			k, raw = c.Last()
		} else if !bytes.Equal(k, from) || w.last != nil {
			k, raw = c.Prev()
		}
		return k, raw
	}
	if w.last != nil && bytes.Equal(k, from) {
		return c.Next()
	}
	return k, raw
}

// stepper moves from a key to the next in the walk's direction.
func (w *idWalk) stepper(v view) func(key []byte) (k, value []byte) {
	c := v.bucket(bucketDocs).Cursor()
	positioned := false
	return func(key []byte) ([]byte, []byte) {
		if !positioned {
			c.Seek(key)
			positioned = true
		}
		if w.q.descending {
			return c.Prev()
		}
		return c.Next()
	}
}

// next visits up to rowsPerView documents, fewer if visit wants no more. done means that the range or the limit is
// used up.
func (w *idWalk) next(v view, visit func(*docInfo) (more bool, err error)) (done bool, err error) {
	k, raw := w.first(v)
	step := w.stepper(v)
	more := true
	for n := 0; n < rowsPerView && more; n++ {
		if k == nil || w.limit == 0 || w.afterRange(k) {
			return true, nil
		}
		info, err := decodeInfo(string(k), raw)
		if err != nil {
			return true, err
		}
		if !info.deleted() {
			if w.skip > 0 {
				w.skip--
			} else {
				w.limit--
				if more, err = visit(info); err != nil {
					return true, err
				}
			}
		}
		w.last = bytes.Clone(k)
		k, raw = step(k)
	}
	return false, nil
}
