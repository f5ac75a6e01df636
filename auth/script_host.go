package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/dop251/goja"
	"github.com/dop251/goja_nodejs/util"
)

// What one request may write to the console.
const (
	maxScriptLines = 100
	maxScriptLine  = 8 << 10 // bytes
)

// maxScriptCredentials bounds credentials, in bytes.
const maxScriptCredentials = 1 << 20

// log is the host's log(level, message).
func (rt *scriptRuntime) log(call goja.FunctionCall) goja.Value {
	message := call.Argument(1).String()
	if len(message) > maxScriptLine {
		message = strings.ToValidUTF8(message[:maxScriptLine], "") + "…"
	}
	switch rt.call.lines++; {
	case rt.call.lines <= maxScriptLines:
		rt.script.options.Log(call.Argument(0).String(), message)
	case rt.call.lines == maxScriptLines+1:
		rt.script.options.Log("warn", fmt.Sprintf("the script writes more than %d lines for one request: the others are dropped", maxScriptLines))
	}
	return goja.Undefined()
}

// format is the host's format(format, ...values), which is util.format of Node.
func (rt *scriptRuntime) format(call goja.FunctionCall) goja.Value {
	if len(call.Arguments) == 0 {
		return rt.vm.ToValue("")
	}
	var b bytes.Buffer
	util.New(rt.vm).Format(&b, call.Argument(0).String(), call.Arguments[1:]...)
	return rt.vm.ToValue(b.String())
}

// listen is the host's listen().
func (rt *scriptRuntime) listen(goja.FunctionCall) goja.Value {
	rt.script.listened.Do(func() {
		rt.script.options.Log("info", "the script calls listen, which does nothing here: the bridge listens where it is configured to")
	})
	return goja.Undefined()
}

// request is the fourth argument of onRequest.
func (rt *scriptRuntime) request(r Request) *goja.Object {
	o := rt.vm.NewObject()
	address := ""
	if r.RemoteAddr.IsValid() {
		address = r.RemoteAddr.Addr().String()
	}
	headers, cookies := rt.vm.CreateObject(nil), rt.vm.CreateObject(nil)
	for name, values := range r.Header {
		set(headers, strings.ToLower(name), strings.Join(values, ", "))
	}
	for _, cookie := range r.Cookies {
		set(cookies, cookie.Name, cookie.Value)
	}
	set(o, "remoteAddr", address)
	set(o, "remotePort", r.RemoteAddr.Port())
	set(o, "origin", r.Origin)
	set(o, "dialect", r.Dialect)
	set(o, "tls", r.TLS)
	set(o, "headers", headers)
	set(o, "cookies", cookies)
	set(o, "previous", rt.previous(r.Previous))
	return o
}

// previous is a grant as the fourth argument tells of it: without its identity. Null if there is none.
func (rt *scriptRuntime) previous(g *Grant) goja.Value {
	if g == nil {
		return goja.Null()
	}
	o := rt.vm.NewObject()
	set(o, "upstream", g.Upstream)
	set(o, "database", g.Database)
	set(o, "access", g.Access.String())
	set(o, "subject", g.Subject)
	set(o, "tokenId", g.TokenID)
	set(o, "expires", goja.Null())
	if !g.Expires.IsZero() {
		set(o, "expires", g.Expires.UTC().Format(time.RFC3339))
	}
	return o
}

// set gives a new object a property, which cannot fail.
func set(o *goja.Object, name string, value any) { _ = o.Set(name, value) }

// checkScriptCredentials refuses credentials that would cost too much to read.
func checkScriptCredentials(credentials json.RawMessage) error {
	if len(credentials) > maxScriptCredentials || jsonDepth(string(credentials)) > scriptLimits.Depth {
		return &Refusal{Code: Unauthorized, Message: "the credentials are too large"}
	}
	return nil
}

// jsonDepth is how deep a JSON text nests, at most: brackets that do not match do not count down.
func jsonDepth(text string) (deepest int) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth--
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		}
	}
	return deepest
}
