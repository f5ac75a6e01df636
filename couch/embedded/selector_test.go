package embedded

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestSelector(t *testing.T) {
	t.Parallel()
	const doc = `{"_id":"d","n":5,"f":5.0,"big":9007199254740993,"s":"abc","t":true,"z":null,"a":[1,2,3],"o":{"x":1,"y":[{"k":1},{"k":2}]},"d.t":7,"e":[],"eo":{}}`
	tests := []struct {
		selector string
		want     bool
	}{
		{`{}`, true},
		{`{"n":5}`, true},
		{`{"n":{"$eq":5.0}}`, true},
		{`{"n":"5"}`, false},
		{`{"big":9007199254740993}`, true},
		{`{"big":9007199254740992}`, false},
		{`{"n":5,"s":"abc"}`, true},
		{`{"n":5,"s":"abd"}`, false},
		{`{"n":{"$gt":4,"$lt":6}}`, true},
		{`{"n":{"$gte":5,"$lte":5}}`, true},
		{`{"n":{"$ne":5}}`, false},
		{`{"none":{"$ne":5}}`, false},
		{`{"n":{"$gt":null}}`, true},
		{`{"s":{"$gt":99}}`, true},
		{`{"s":{"$lt":"ABD"}}`, true},
		{`{"_id":{"$gt":"D"}}`, true},
		{`{"a":{"$gt":"zzz"}}`, true},
		{`{"eo":{}}`, true},
		{`{"o":{}}`, false},
		{`{"o":{"x":1}}`, true},
		{`{"o.x":1}`, true},
		{`{"d\\.t":7}`, true},
		{`{"a.1":2}`, true},
		{`{"a.7":2}`, false},
		{`{"s.x":1}`, false},
		{`{"z":null}`, true},
		{`{"none":null}`, false},
		{`{"n":{"$in":[1,5]}}`, true},
		{`{"a":{"$in":[3]}}`, true},
		{`{"n":{"$in":[]}}`, false},
		{`{"n":{"$nin":[1,2]}}`, true},
		{`{"a":{"$nin":[3]}}`, false},
		{`{"n":{"$nin":[]}}`, true},
		{`{"n":{"$exists":true}}`, true},
		{`{"none":{"$exists":false}}`, true},
		{`{"n":{"$exists":false}}`, false},
		{`{"n":{"$type":"number"}}`, true},
		{`{"z":{"$type":"null"}}`, true},
		{`{"o":{"$type":"object"}}`, true},
		{`{"t":{"$type":"string"}}`, false},
		{`{"$and":[{"n":5},{"s":"abc"}]}`, true},
		{`{"$and":[]}`, true},
		{`{"$or":[{"n":6},{"s":"abc"}]}`, true},
		{`{"$or":[]}`, true},
		{`{"$or":[{"n":6},{"s":"x"}]}`, false},
		{`{"$nor":[{"n":6},{"s":"x"}]}`, true},
		{`{"$nor":[{"n":5},{"s":"x"}]}`, false},
		{`{"$not":{"n":6}}`, true},
		{`{"$not":{"none":6}}`, false},
		{`{"$not":{"none":{"$exists":true}}}`, true},
		{`{"n":{"$not":{"$gt":6}}}`, true},
		{`{"$not":{"$and":[{"n":5},{"s":"x"}]}}`, true},
		{`{"$not":{"$or":[{"n":6},{"s":"x"}]}}`, true},
		{`{"$not":{"$not":{"n":5}}}`, true},
		{`{"n":{"$or":[{"$lt":1},{"$gt":4}]}}`, true},
		{`{"a":{"$all":[1,3]}}`, true},
		{`{"a":{"$all":[1,4]}}`, false},
		{`{"a":{"$all":[[1,2,3]]}}`, true},
		{`{"a":{"$all":[]}}`, false},
		{`{"a":{"$elemMatch":{"$gt":2}}}`, true},
		{`{"a":{"$elemMatch":{"$gt":1,"$lt":2}}}`, false},
		{`{"o.y":{"$elemMatch":{"k":2}}}`, true},
		{`{"a":{"$allMatch":{"$gt":0}}}`, true},
		{`{"e":{"$allMatch":{"$gt":0}}}`, false},
		{`{"o":{"$keyMapMatch":{"$eq":"x"}}}`, true},
		{`{"n":{"$keyMapMatch":{"$eq":"x"}}}`, false},
		{`{"a":{"$size":3}}`, true},
		{`{"n":{"$size":3}}`, false},
		{`{"n":{"$mod":[3,2]}}`, true},
		{`{"f":{"$mod":[3,2]}}`, false},
		{`{"s":{"$regex":"^a.c$"}}`, true},
		{`{"n":{"$regex":"5"}}`, false},
		{`{"s":{"$not":{"$regex":"x"}}}`, true},
		{`{"s":{"$beginsWith":"ab"}}`, true},
		{`{"n":{"$beginsWith":"5"}}`, false},
	}
	value, err := parseMangoValue(jsontext.Value(doc))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		matches, err := parseSelector(jsontext.Value(test.selector))
		if err != nil {
			t.Errorf("%s: %v", test.selector, err)
			continue
		}
		if got := matches(value); got != test.want {
			t.Errorf("%s: %t", test.selector, got)
		}
	}
	for _, bad := range []string{`[]`, `7`, `{"$foo":1}`, `{"n":{"$foo":1}}`, `{"$and":1}`, `{"$not":1}`, `{"n":{"$in":1}}`, `{"n":{"$exists":1}}`,
		`{"n":{"$type":1}}`, `{"n":{"$size":-1}}`, `{"n":{"$mod":[0,1]}}`, `{"n":{"$mod":[1]}}`, `{"n":{"$regex":"("}}`, `{"n":{"$elemMatch":1}}`, `{"n":{"$where":"x"}}`} {
		if _, err := parseSelector(jsontext.Value(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
