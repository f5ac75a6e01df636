package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dop251/goja"
)

// maxScriptMessage bounds, in bytes, what a script tells the user.
const maxScriptMessage = 1024

// scriptCodes are what a script may call the codes of a refusal.
var scriptCodes = map[string]Code{
	"401": Unauthorized, "unauthorized": Unauthorized,
	"403": Forbidden, "forbidden": Forbidden,
	"404": NotFound, "not_found": NotFound,
	"503": Unavailable, "unavailable": Unavailable,
}

// called is what the callback does: the first answer counts.
func (c *scriptCall) called(err, db goja.Value) {
	switch {
	case c.settled:
		c.rt.script.options.Log("warn", "onRequest answers twice: the first answer counts")
	case !goja.IsUndefined(err) && !goja.IsNull(err):
		c.refuse(c.refusalOf(err))
	default:
		d, ok := c.rt.database(db)
		if !ok {
			c.refuse(errors.New("onRequest calls back without an error and without a PouchDB"))
			return
		}
		c.grant(d.grant)
	}
}

// returned takes what onRequest returned: a PouchDB, a promise, or what means nothing.
func (c *scriptCall) returned(value goja.Value) error {
	if goja.IsUndefined(value) || c.grantIf(value) {
		return nil
	}
	vm := c.rt.vm
	fulfilled := vm.ToValue(func(call goja.FunctionCall) goja.Value {
		c.grantIf(call.Argument(0))
		return goja.Undefined()
	})
	rejected := vm.ToValue(func(call goja.FunctionCall) goja.Value {
		c.thrown(call.Argument(0))
		return goja.Undefined()
	})
	_, err := c.run(func() (goja.Value, error) { return c.rt.follow(goja.Undefined(), value, fulfilled, rejected) })
	return err
}

// grantIf answers by value if it is a PouchDB and the first answer.
func (c *scriptCall) grantIf(value goja.Value) bool {
	d, ok := c.rt.database(value)
	if ok {
		c.grant(d.grant)
	}
	return ok
}

// grant answers by g, unless it is over: a script may keep a PouchDB for long.
func (c *scriptCall) grant(g Grant) {
	if !g.Expires.IsZero() && !g.Expires.After(time.Now()) {
		c.refuse(fmt.Errorf("the PouchDB that it answers with has expired, at %s", g.Expires.UTC().Format(time.RFC3339)))
		return
	}
	c.settle(answer{grant: g})
}

// threw takes the error with which onRequest ended.
func (c *scriptCall) threw(err error) error {
	var exception *goja.Exception
	if !errors.As(err, &exception) {
		return err
	}
	c.thrown(exception.Value())
	return nil
}

// thrown refuses by a thrown value, unless onRequest has answered.
func (c *scriptCall) thrown(value goja.Value) {
	err := c.refusalOf(value)
	if c.settled {
		c.rt.script.options.Log("error", "onRequest throws after its answer: "+withCause(err))
		return
	}
	c.refuse(err)
}

// refuse answers by err, with the name of the file if it is for the log.
func (c *scriptCall) refuse(err error) {
	var meant *Refusal
	if !errors.As(err, &meant) {
		err = fmt.Errorf("script %s: %w", c.rt.script.options.File, err)
	}
	c.settle(answer{err: err})
}

// settle takes the first answer, and drops any other. Timers end with it.
func (c *scriptCall) settle(a answer) {
	if c.settled || c.answers == nil {
		return
	}
	c.settled = true
	c.timers.pending = nil
	c.undelivered = &a
}

// scriptError is what the prelude tells of an error.
type scriptError struct {
	forUser            bool
	message, code, log string
}

// describe asks the prelude, as error may be any value, with getters that throw.
func (c *scriptCall) describe(value goja.Value) (d scriptError, err error) {
	told, err := c.rt.describe(goja.Undefined(), value)
	if err != nil {
		return d, scriptFault(err)
	}
	o := told.ToObject(c.rt.vm)
	return scriptError{
		forUser: o.Get("0").ToBoolean(),
		message: o.Get("1").String(),
		code:    o.Get("2").String(),
		log:     o.Get("3").String(),
	}, nil
}

// refusalOf makes a refusal of an error if it is meant for the user, and an error for the log if it is not.
func (c *scriptCall) refusalOf(value goja.Value) error {
	d, err := c.describe(value)
	if err != nil {
		return fmt.Errorf("its error cannot be read: %w", err)
	}
	code, known := scriptCodes[d.code]
	switch {
	case !d.forUser, len(d.code) == 3 && d.code >= "500" && d.code < "600" && !known:
		return errors.New(d.log)
	case d.code == "abstain":
		return Abstain
	case !known:
		code = Forbidden
	}
	return &Refusal{Code: code, Message: messageForUser(d.message), Err: fmt.Errorf("script %s: %s", c.rt.script.options.File, d.log)}
}

// messageForUser bounds a message and leaves out what is not text.
func messageForUser(message string) string {
	message = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, message)
	if len(message) > maxScriptMessage {
		message = strings.ToValidUTF8(message[:maxScriptMessage], "")
	}
	return message
}

// withCause is an error as the log has it.
func withCause(err error) string {
	if cause := errors.Unwrap(err); cause != nil {
		return cause.Error()
	}
	return err.Error()
}
