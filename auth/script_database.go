package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/dop251/goja"
)

// scriptDatabase is what a PouchDB of a script stands for. Scripts can neither read nor change it.
type scriptDatabase struct {
	grant Grant
}

// open is the host's open(db, name, options): it makes db the database that name and the options, JSON text, grant.
func (rt *scriptRuntime) open(call goja.FunctionCall) goja.Value {
	db := call.Argument(0).ToObject(rt.vm)
	grant, err := rt.script.grant(call.Argument(1).String(), []byte(call.Argument(2).String()))
	if err != nil {
		panic(rt.vm.NewTypeError("new PouchDB: " + err.Error()))
	}
	d := rt.vm.ToValue(&scriptDatabase{grant})
	if err := db.DefineDataPropertySymbol(rt.grantKey, d, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE); err != nil {
		panic(err)
	}
	return goja.Undefined()
}

// database is what value stands for, if it is a PouchDB that the script has made.
func (rt *scriptRuntime) database(value goja.Value) (d *scriptDatabase, ok bool) {
	object, isObject := value.(*goja.Object)
	if !isObject {
		return nil, false
	}
	exception := rt.vm.Try(func() { // a Proxy may throw
		if kept := object.GetSymbol(rt.grantKey); kept != nil {
			d, ok = kept.Export().(*scriptDatabase)
		}
	})
	return d, ok && exception == nil
}

// grant is what new PouchDB(name, options) stands for.
func (s *Script) grant(name string, options []byte) (Grant, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(options, &members); err != nil {
		return Grant{}, errors.New("the options must be an object")
	}
	if _, given := members["database"]; given {
		return Grant{}, errors.New("the options must not have database: it is the name")
	}
	if isURL(name) {
		if err := s.resolve(name, members); err != nil {
			return Grant{}, err
		}
	} else {
		members["database"] = quoted(name)
	}
	if _, given := members["access"]; !given {
		members["access"] = quoted(ReadWrite.String())
	}
	if _, given := members["create"]; !given && s.options.Create {
		members["create"] = json.RawMessage("true")
	}
	text, err := json.Marshal(members)
	if err != nil {
		return Grant{}, err
	}
	g, err := ParseGrant(text)
	if err != nil {
		return Grant{}, err
	}
	if g.Upstream != "" && !slices.Contains(s.options.Upstreams, g.Upstream) {
		return Grant{}, fmt.Errorf("no server named %q is configured", g.Upstream)
	}
	return g, nil
}

// quoted is text as a JSON string.
func quoted(text string) json.RawMessage {
	b, _ := json.Marshal(text) // a string always can be
	return b
}
