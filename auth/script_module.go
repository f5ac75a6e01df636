package auth

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"
	"github.com/dop251/goja_nodejs/require"
)

// maxScriptFile bounds a file of a script, in bytes.
const maxScriptFile = 8 << 20

// scriptModules are the files of a script. Nothing outside of its directory can be read, by no symlink and no "..".
// Files are named relative to it. Each is read once.
type scriptModules struct {
	root     *os.Root
	file     string // the name of the script in root
	registry *require.Registry
}

// openScriptModules resolves symlinks to file first, as Node does for its main file.
func openScriptModules(file string) (*scriptModules, error) {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(filepath.Dir(real))
	if err != nil {
		return nil, err
	}
	m := &scriptModules{root: root, file: filepath.Base(real)}
	m.registry = require.NewRegistry(require.WithLoader(m.load), require.WithPathResolver(func(base, name string) string {
		return path.Join(base, name)
	}))
	return m, nil
}

// esModule finds the syntax of ES modules, for a hint.
var esModule = regexp.MustCompile(`(?m)^\s*(import|export)\b`)

// main compiles the script. It runs as a script and not within a function, so that lines and columns are the file's own.
func (m *scriptModules) main() (*goja.Program, error) {
	source, err := m.read(m.file)
	if err != nil {
		return nil, err
	}
	parsed, err := goja.Parse(m.file, string(source), parser.WithDisableSourceMaps)
	if err == nil {
		var program *goja.Program
		if program, err = goja.CompileAST(parsed, false); err == nil {
			return program, nil
		}
	}
	if esModule.Match(source) {
		return nil, fmt.Errorf("%w (import and export are not supported: use require and module.exports)", err)
	}
	return nil, err
}

// load reads a module for require.
func (m *scriptModules) load(name string) ([]byte, error) {
	if ext := path.Ext(name); ext != ".js" && ext != ".json" {
		return nil, require.ModuleFileDoesNotExistError
	}
	source, err := m.read(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, require.ModuleFileDoesNotExistError
	}
	return source, err
}

func (m *scriptModules) read(name string) ([]byte, error) {
	info, err := m.root.Stat(name) // before it is opened, which could wait for a pipe's other end
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, require.ModuleFileDoesNotExistError
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := m.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	source, err := io.ReadAll(io.LimitReader(f, maxScriptFile+1))
	if err == nil && len(source) > maxScriptFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxScriptFile)
	}
	return source, err
}

func (m *scriptModules) close() error {
	if m == nil {
		return nil
	}
	return m.root.Close()
}

// enableRequire gives the runtime its require: the built-in modules of the prelude, and files.
func (rt *scriptRuntime) enableRequire() error {
	files := rt.script.modules.registry.Enable(rt.vm)
	return rt.vm.Set("require", func(call goja.FunctionCall) goja.Value {
		name := call.Argument(0).String()
		if builtin := rt.modules.Get(name); builtin != nil {
			return builtin
		}
		exports, err := files.Require(name)
		var exception *goja.Exception
		var interrupted *goja.InterruptedError
		var overflow *goja.StackOverflowError
		switch {
		case err == nil:
			return exports
		case errors.As(err, &exception), errors.As(err, &interrupted), errors.As(err, &overflow):
			panic(err)
		default:
			panic(rt.vm.NewTypeError(fmt.Sprintf("cannot find module %q: %v. There are pouchdb, pouch-websocket-sync, http, url, util, "+
				"console, process and the .js and .json files below the script's own directory", name, err)))
		}
	})
}

// installModule gives the script's file what Node gives a main file.
func (rt *scriptRuntime) installModule() error {
	module, exports := rt.vm.NewObject(), rt.vm.NewObject()
	err := module.Set("exports", exports)
	for name, value := range map[string]any{
		"module": module, "exports": exports, "__filename": rt.script.modules.file, "__dirname": ".",
	} {
		err = errors.Join(err, rt.vm.Set(name, value))
	}
	return err
}
