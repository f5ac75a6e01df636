package auth

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/dop251/goja"
	"github.com/dop251/goja_nodejs/url"
)

//go:embed script_prelude.js
var preludeSource string

// scriptLimits are what the guards of the prelude allow.
var scriptLimits = struct {
	Text     int `json:"text"`     // characters of a string made by a built-in function
	Elements int `json:"elements"` // of an array that a built-in function goes through
	Source   int `json:"source"`   // characters of a regular expression
	Depth    int `json:"depth"`    // of JSON
}{Text: 16 << 20, Elements: 1 << 18, Source: 1 << 16, Depth: 1000}

// scriptRuntime is one goja runtime with the policy loaded. One goroutine at a time uses it, for one [scriptCall].
type scriptRuntime struct {
	script   *Script
	vm       *goja.Runtime
	grantKey *goja.Symbol // under which a PouchDB keeps its *scriptDatabase
	modules  *goja.Object // the built-in ones
	handler  goja.Callable
	parse    goja.Callable
	describe goja.Callable
	follow   goja.Callable
	call     *scriptCall // the one under way
}

// newRuntime makes a runtime and runs the file in it.
func (s *Script) newRuntime(ctx context.Context) (*scriptRuntime, error) {
	rt := &scriptRuntime{script: s, vm: goja.New(), grantKey: goja.NewSymbol("grant")}
	rt.vm.SetFieldNameMapper(goja.TagFieldNameMapper("json", true))
	rt.vm.SetMaxCallStackSize(s.options.MaxCallStack)
	rt.vm.SetPromiseRejectionTracker(func(p *goja.Promise, operation goja.PromiseRejectionOperation) {
		rt.call.rejection(p, operation)
	})
	c := newScriptCall(ctx, rt, nil)
	err := c.during(func() error {
		handler, err := rt.install()
		if err != nil {
			return err
		}
		return c.load(handler)
	})
	if err != nil {
		return nil, err
	}
	return rt, nil
}

// install gives the runtime its globals. The result finds the policy's function once the file has run.
func (rt *scriptRuntime) install() (handler goja.Callable, err error) {
	value, err := rt.vm.RunProgram(rt.script.prelude)
	if err != nil {
		return nil, err
	}
	prelude, _ := goja.AssertFunction(value)
	host := rt.vm.NewObject()
	for name, f := range map[string]any{
		"depth":    jsonDepth,
		"schedule": rt.schedule,
		"cancel":   rt.cancel,
		"log":      rt.log,
		"format":   rt.format,
		"fetch":    rt.fetch,
		"open":     rt.open,
		"listen":   rt.listen,
		"env":      rt.script.options.Env,
	} {
		if err := host.Set(name, f); err != nil {
			return nil, err
		}
	}
	if value, err = prelude(goja.Undefined(), host, rt.vm.ToValue(scriptLimits)); err != nil {
		return nil, err
	}
	kept := value.ToObject(rt.vm)
	rt.modules = kept.Get("modules").ToObject(rt.vm)
	for name, into := range map[string]*goja.Callable{"parse": &rt.parse, "describe": &rt.describe, "follow": &rt.follow, "handler": &handler} {
		*into, _ = goja.AssertFunction(kept.Get(name))
	}
	if err := rt.enableRequire(); err != nil {
		return nil, err
	}
	url.Enable(rt.vm)
	return handler, nil
}

// load runs the file, waits for what it started, and finds the policy's function.
func (c *scriptCall) load(handler goja.Callable) error {
	rt := c.rt
	if err := rt.installModule(); err != nil {
		return err
	}
	if _, err := c.run(func() (goja.Value, error) { return rt.vm.RunProgram(rt.script.program) }); err != nil {
		return scriptFault(err)
	}
	if err := c.loop(c.loaded); err != nil {
		return scriptFault(err)
	}
	if err := c.unhandled(); err != nil {
		return err
	}
	if n := len(c.timers.pending); n > 0 {
		rt.script.options.Log("warn", fmt.Sprintf("the script leaves %d timers behind: they are cleared, since nothing runs between requests", n))
	}
	value, err := c.run(func() (goja.Value, error) { return rt.vm.RunProgram(topLevelOnRequest) })
	if err != nil {
		return scriptFault(err)
	}
	if value, err = c.run(func() (goja.Value, error) { return handler(goja.Undefined(), value) }); err != nil {
		return scriptFault(err)
	}
	var ok bool
	if rt.handler, ok = goja.AssertFunction(value); !ok {
		return errors.New("has no onRequest: define function onRequest(credentials, dbName, callback), or set module.exports to it")
	}
	return nil
}

// topLevelOnRequest is the file's own onRequest, however it is declared.
var topLevelOnRequest = goja.MustCompile("onRequest", `typeof onRequest === 'function' ? onRequest : undefined`, false)

// scriptFault says what went wrong while JavaScript ran, with the place.
func scriptFault(err error) error {
	var exception *goja.Exception
	var interrupted *goja.InterruptedError
	var overflow *goja.StackOverflowError
	switch {
	case errors.As(err, &exception):
		return errors.New(exception.String())
	case errors.As(err, &interrupted):
		cause, _ := interrupted.Value().(error)
		return fmt.Errorf("%w%s", cause, strings.TrimPrefix(interrupted.String(), cause.Error()))
	case errors.As(err, &overflow):
		return fmt.Errorf("calls are nested too deeply: %s", overflow.String())
	default:
		return err
	}
}

// fatal tells that an error ends the call whatever the script does.
func fatal(err error) bool {
	var exception *goja.Exception
	return err != nil && !errors.As(err, &exception)
}
