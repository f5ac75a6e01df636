package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"
)

// jsonOrYAML is the one value that file must be: JSON if it begins with a brace, else YAML, which is read as the JSON that it
// stands for, so that both have the same faults.
func (w *jsonWalk) jsonOrYAML(file []byte) (jsontext.Value, bool) {
	text := bytes.TrimSpace(file)
	switch {
	case len(text) == 0:
		w.fault("", "is empty")
		return nil, false
	case text[0] == '{':
		return w.document(file)
	default:
		return w.yamlDocument(file)
	}
}

// yamlDocument reads a YAML file. It takes what JSON can say: no anchors and aliases, which could make a small file a huge
// one, no tags of others, no second document.
func (w *jsonWalk) yamlDocument(file []byte) (jsontext.Value, bool) {
	d := yaml.NewDecoder(bytes.NewReader(file))
	var document, more yaml.Node
	if err := d.Decode(&document); err == io.EOF {
		w.fault("", "is empty")
		return nil, false
	} else if err != nil {
		w.yamlError(err)
		return nil, false
	}
	if err := d.Decode(&more); err == nil {
		w.fault(yamlPlace(&more), "must be the end: the file has more than one YAML document")
		return nil, false
	} else if err != io.EOF {
		w.yamlError(err)
		return nil, false
	}
	before := len(w.faults)
	v := w.appendYAML(nil, document.Content[0], 0)
	return v, len(w.faults) == before
}

var yamlLine = regexp.MustCompile(`^yaml: (line \d+): (.*)$`)

// yamlError reports a file that is not YAML.
func (w *jsonWalk) yamlError(err error) {
	place, problem := "", strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		place, problem = m[1], m[2]
	}
	if strings.Contains(problem, "unknown anchor") { // quotes the file, where a token may stand
		problem = noAliases
	}
	w.fault(place, "not YAML: "+problem)
}

const noAliases = "anchors and aliases are not taken here; quote a text that begins with * or &"

// maxYAMLDepth is more than any file that makes sense is deep.
const maxYAMLDepth = 32

// appendYAML appends the JSON that n stands for, and reports what has none.
func (w *jsonWalk) appendYAML(b jsontext.Value, n *yaml.Node, depth int) jsontext.Value {
	tag := n.ShortTag()
	switch {
	case depth > maxYAMLDepth:
		w.fault(yamlPlace(n), "is nested too deep")
	case n.Kind == yaml.AliasNode || tag == "!!merge":
		w.fault(yamlPlace(n), noAliases)
	case n.Kind == yaml.MappingNode && tag == "!!map":
		return w.appendYAMLMap(b, n, depth)
	case n.Kind == yaml.SequenceNode && tag == "!!seq":
		b = append(b, '[')
		for i, element := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			b = w.appendYAML(b, element, depth+1)
		}
		return append(b, ']')
	case n.Kind == yaml.ScalarNode:
		scalar, err := yamlScalar(tag, n.Value)
		if err == nil {
			return append(b, scalar...)
		}
		w.fault(yamlPlace(n), err.Error())
	default:
		w.fault(yamlPlace(n), "has a tag that is not known here")
	}
	return append(b, "null"...)
}

// appendYAMLMap keeps a member that is given twice, for the walk to report.
func (w *jsonWalk) appendYAMLMap(b jsontext.Value, n *yaml.Node, depth int) jsontext.Value {
	b = append(b, '{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			w.fault(yamlPlace(key), "is no name of a member; "+noAliases)
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(w.appendYAML(b, key, depth+1), ':')
		b = w.appendYAML(b, n.Content[i+1], depth+1)
	}
	return append(b, '}')
}

// yamlScalar is a scalar as JSON.
func yamlScalar(tag, text string) ([]byte, error) {
	switch tag {
	case "!!str", "!!timestamp":
		return jsontext.AppendQuote(nil, text)
	case "!!null":
		return []byte("null"), nil
	case "!!bool":
		if v := strings.ToLower(text); v == "true" || v == "false" {
			return []byte(v), nil
		}
		return nil, errors.New("is not true or false; quote it if it is a text")
	case "!!int":
		if n, err := strconv.ParseInt(text, 0, 64); err == nil {
			return strconv.AppendInt(nil, n, 10), nil
		}
		return nil, errors.New("is not a whole number; quote it if it is a text")
	case "!!float":
		if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return strconv.AppendFloat(nil, f, 'g', -1, 64), nil
		}
		return nil, errors.New("is not a number; quote it if it is a text")
	default:
		return nil, errors.New("has a tag that is not known here")
	}
}

func yamlPlace(n *yaml.Node) string { return fmt.Sprintf("line %d, column %d", n.Line, n.Column) }
