package embedded

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dop251/goja"
	"github.com/go-json-experiment/json/jsontext"
)

// script is a function of a design document, compiled. goja runtimes are not safe for concurrent use, so each call
// takes one from a pool.
type script struct {
	program *goja.Program
	limit   time.Duration
	pool    sync.Pool // *instance
}

// instance is a runtime with the function in it.
type instance struct {
	runtime *goja.Runtime
	call    goja.Callable
	parse   goja.Callable // JSON.parse
	format  goja.Callable // JSON.stringify
}

// compileScript compiles the source of one function.
func compileScript(name, source string, limit time.Duration) (*script, error) {
	program, err := goja.Compile(name, "("+strings.TrimRight(source, "; \t\r\n")+")", false)
	if err != nil {
		return nil, &failure{status: 500, name: "compilation_error",
			reason: fmt.Sprintf("%s: %v", name, err)}
	}
	return &script{program: program, limit: limit}, nil
}

// prelude gives functions what CouchDB's query server gives them.
const prelude = `
function isArray(o) { return Array.isArray(o); }
function toJSON(v) { return JSON.stringify(v); }
function sum(v) { var s = 0; for (var i in v) { s += v[i]; } return s; }
function log() {}
`

func (s *script) instance() (*instance, error) {
	if i, ok := s.pool.Get().(*instance); ok {
		return i, nil
	}
	rt := goja.New()
	if _, err := rt.RunString(prelude); err != nil {
		return nil, err
	}
	value, err := rt.RunProgram(s.program)
	if err != nil {
		return nil, err
	}
	i := &instance{runtime: rt}
	var ok bool
	if i.call, ok = goja.AssertFunction(value); !ok {
		return nil, &failure{status: 500, name: "compilation_error", reason: "Expression does not eval to a function."}
	}
	json := rt.GlobalObject().Get("JSON").ToObject(rt)
	i.parse, _ = goja.AssertFunction(json.Get("parse"))
	i.format, _ = goja.AssertFunction(json.Get("stringify"))
	return i, nil
}

// run calls the function with JSON arguments. A thrown value is a *goja.Exception.
func (s *script) run(this jsontext.Value, args []jsontext.Value, use func(*instance, goja.Value, error)) error {
	i, err := s.instance()
	if err != nil {
		return err
	}
	values := make([]goja.Value, len(args)+1)
	for n, raw := range append([]jsontext.Value{this}, args...) {
		if values[n], err = i.parse(goja.Undefined(), i.runtime.ToValue(string(raw))); err != nil {
			return fmt.Errorf("embedded: argument of a function: %w", err)
		}
	}
	timer := time.AfterFunc(s.limit, func() { i.runtime.Interrupt("timeout") })
	result, err := i.call(values[0], values[1:]...)
	stopped := timer.Stop()
	var interrupted *goja.InterruptedError
	if errors.As(err, &interrupted) || !stopped {
		return &failure{status: 500, name: "os_process_error", reason: "A function of a design document ran for too long."}
	}
	use(i, result, err)
	s.pool.Put(i)
	return nil
}

// validator is the validate_doc_update function of one design document.
type validator struct {
	ddoc   jsontext.Value
	script *script
	fault  *failure // of a function that does not compile: refuses every write
}

// scriptCache keeps the compiled functions of a database's design documents until one of these changes.
type scriptCache struct {
	mu         sync.Mutex
	loaded     bool
	validators []validator
}

func (c *scriptCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaded, c.validators = false, nil
}

// validators returns the functions every write must pass.
func (u *updater) validators() ([]validator, error) {
	c := &u.db.scripts
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded {
		return c.validators, nil
	}
	err := u.view.designDocuments(func(d *document) error {
		source, ok := stringValue(field(d.object(), "validate_doc_update"))
		if !ok {
			return nil
		}
		v := validator{ddoc: appendDocument(nil, d, rendering{})}
		s, err := compileScript(d.id+"/validate_doc_update", source, u.db.options.ScriptTimeout)
		if err != nil && !errors.As(err, &v.fault) {
			return err
		}
		v.script = s
		c.validators = append(c.validators, v)
		return nil
	})
	c.loaded = err == nil
	return c.validators, err
}

// designDocuments visits the winning, undeleted revisions of all design documents.
func (v view) designDocuments(visit func(*document) error) error {
	prefix := "_design/"
	c := v.bucket(bucketDocs).Cursor()
	for key, raw := c.Seek([]byte(prefix)); key != nil && strings.HasPrefix(string(key), prefix); key, raw = c.Next() {
		info, err := decodeInfo(string(key), raw)
		if err != nil {
			return err
		}
		d, ok, err := v.document(info.id, info.tree.ranked()[0])
		if err != nil || !ok || d.deleted {
			if err != nil {
				return err
			}
			continue
		}
		if err := visit(d); err != nil {
			return err
		}
	}
	return nil
}

// validate asks whether a document may be written: design documents need an admin, all others the consent of every
// validate_doc_update function.
func (u *updater) validate(d, old *document) (*failure, error) {
	security := parseSecurity(append(jsontext.Value(nil), u.view.bucket(bucketMeta).Get([]byte(metaSecurity))...))
	if d.isDesign() {
		return security.checkAdmin(u.user), nil
	}
	if u.db.name == usersDatabase {
		if refused := u.checkUser(d, old); refused != nil {
			return refused, nil
		}
	}
	validators, err := u.validators()
	if err != nil || len(validators) == 0 {
		return nil, err
	}
	before := jsontext.Value("null")
	if old != nil {
		before = appendDocument(nil, old, rendering{revs: true})
	}
	args := []jsontext.Value{appendDocument(nil, d, rendering{revs: true}), before, u.db.userJSON(u.user), security.raw}
	for _, v := range validators {
		refused, err := v.check(args)
		if refused != nil || err != nil {
			return refused, err
		}
	}
	return nil, nil
}

// userJSON is the user context functions get.
func (db *database) userJSON(u userContext) jsontext.Value {
	out := appendString([]byte(`{"db":`), db.name)
	return append(u.appendMembers(append(out, ',')), '}')
}

func (v validator) check(args []jsontext.Value) (refused *failure, err error) {
	if v.fault != nil {
		return v.fault, nil
	}
	err = v.script.run(v.ddoc, args, func(i *instance, _ goja.Value, thrown error) {
		if thrown != nil {
			refused = i.refusal(thrown)
		}
	})
	if errors.As(err, &refused) {
		return refused, nil
	}
	return refused, err
}

// refusal turns what a function threw into CouchDB's answer: {forbidden: reason} and {unauthorized: reason} by their
// names, an Error by its own name.
func (i *instance) refusal(thrown error) *failure {
	var exception *goja.Exception
	if !errors.As(thrown, &exception) {
		return &failure{status: 500, name: "unknown_error", reason: thrown.Error()}
	}
	object, ok := exception.Value().(*goja.Object)
	if !ok {
		return &failure{status: 500, name: "unknown_error", reason: exception.Value().String()}
	}
	for name, status := range map[string]int{"forbidden": 403, "unauthorized": 401} {
		if reason := object.Get(name); reason != nil && reason.ToBoolean() {
			return &failure{status: status, name: name, reason: reason.String(), rawReason: i.json(reason)}
		}
	}
	if name := object.Get("name"); name != nil && name.ToBoolean() {
		return &failure{status: 500, name: name.String(), reason: "{[]}"}
	}
	return &failure{status: 500, name: "unknown_error", reason: exception.Value().String()}
}

// json returns a value as JSON, nil if it is a string or has no JSON.
func (i *instance) json(v goja.Value) []byte {
	if _, isString := v.Export().(string); isString {
		return nil
	}
	text, err := i.format(goja.Undefined(), v)
	if err != nil || goja.IsUndefined(text) {
		return nil
	}
	return []byte(text.String())
}
