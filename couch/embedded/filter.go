package embedded

import (
	"errors"
	"slices"
	"strings"

	"github.com/dop251/goja"
	"github.com/go-json-experiment/json/jsontext"
)

// filter decides which of a document's leaves a feed shows: those it returns, of those it is given.
type filter interface {
	choose(v view, info *docInfo, shown []leaf) ([]leaf, error)
}

// setFilter reads the filter parameter (couch_changes:configure_filter/4).
func (r *request) setFilter(q *changesQuery, body jsontext.Value) error {
	var err error
	switch name := r.query.Get("filter"); name {
	case "":
	case "_doc_ids":
		q.byID = true
		q.filter, err = r.idFilter(body)
	case "_selector":
		if r.Method != "POST" {
			return badRequest("Selector must be specified in POST payload")
		}
		q.filter, err = newSelectorFilter(field(body, "selector"))
	case "_design":
		q.byID, q.filter = true, designFilter{}
	case "_view":
		return notImplemented("filter=_view")
	default:
		q.filter, err = r.functionFilter(name)
	}
	return err
}

// idFilter shows documents by their ids.
type idFilter []string

func (f idFilter) choose(_ view, info *docInfo, shown []leaf) ([]leaf, error) {
	if slices.Contains(f, info.id) {
		return shown, nil
	}
	return nil, nil
}

func (r *request) idFilter(body jsontext.Value) (filter, error) {
	list := field(body, "doc_ids")
	if text := r.query.Get("doc_ids"); list == nil && text != "" {
		v, err := compactJSON([]byte(text))
		if err != nil {
			return nil, err
		}
		list = v
	}
	ids, ok := stringList(list)
	if !ok {
		return nil, badRequest("`doc_ids` filter parameter is not a list of doc ids.")
	}
	return idFilter(ids), nil
}

// designFilter shows design documents.
type designFilter struct{}

func (designFilter) choose(_ view, info *docInfo, shown []leaf) ([]leaf, error) {
	if isDesignID(info.id) {
		return shown, nil
	}
	return nil, nil
}

// leafFilter shows the leaves whose documents pass a test.
type leafFilter func(doc jsontext.Value) (bool, error)

func (f leafFilter) choose(v view, info *docInfo, shown []leaf) ([]leaf, error) {
	var passed []leaf
	for _, l := range shown {
		d, err := v.openLeaf(info.id, l, &openOptions{})
		if err != nil {
			return nil, err
		}
		ok, err := f(appendDocument(nil, d, rendering{revs: true}))
		if err != nil {
			return nil, err
		}
		if ok {
			passed = append(passed, l)
		}
	}
	return passed, nil
}

func newSelectorFilter(raw jsontext.Value) (filter, error) {
	matches, err := parseSelector(raw)
	if err != nil {
		return nil, err
	}
	return leafFilter(func(doc jsontext.Value) (bool, error) {
		value, err := parseMangoValue(doc)
		return err == nil && matches(value), err
	}), nil
}

// functionFilter uses function(doc, req) of a design document, named "ddoc/filter".
func (r *request) functionFilter(name string) (filter, error) {
	ddoc, function, found := strings.Cut(name, "/")
	if !found {
		return nil, badRequest("`filter` must be of the form `designname/filtername`")
	}
	d, err := r.db.winner("_design/" + ddoc)
	if err != nil {
		return nil, err
	}
	if d.deleted {
		return nil, errDeleted
	}
	source, ok := stringValue(field(field(d.object(), "filters"), function))
	if !ok {
		return nil, notFound("missing json key: " + function)
	}
	s, err := compileScript(d.id+"/filters/"+function, source, r.store.options.ScriptTimeout)
	if err != nil {
		return nil, err
	}
	this, req := appendDocument(nil, d, rendering{}), r.filterRequest()
	return leafFilter(func(doc jsontext.Value) (pass bool, err error) {
		var thrown error
		err = s.run(this, []jsontext.Value{doc, req}, func(i *instance, result goja.Value, threw error) {
			if threw != nil {
				thrown = i.refusal(threw)
				return
			}
			pass = result.ToBoolean()
		})
		return pass, errors.Join(err, thrown)
	}), nil
}

// filterRequest is the request object functions get: method, path, query, userCtx and secObj.
func (r *request) filterRequest() jsontext.Value {
	b := appendString([]byte(`{"method":`), r.Method)
	b = append(appendStrings(append(b, `,"path":`...), r.parts), `,"query":{`...)
	first := true
	for name, values := range r.query {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(append(appendString(b, name), ':'), values[0])
	}
	b = append(append(b, `},"userCtx":`...), r.db.userJSON(r.user)...)
	b = append(append(b, `,"secObj":`...), r.secured.raw...)
	return append(b, '}')
}
