// Runs in every runtime before anything of the policy does, so that what it keeps of the language is still untouched.
// host has what is written in Go; the result is what Go needs of JavaScript.
(function (host, limits) {
  'use strict';

  const { apply, construct, defineProperty, getOwnPropertyDescriptor, getPrototypeOf, ownKeys } = Reflect;
  const { keys, assign, create, freeze } = Object;
  const { parse, stringify } = JSON;
  const then = Promise.prototype.then;
  const resolved = Promise.resolve.bind(Promise);

  // ---- guards: built-ins that make much of little run to their end before anything can interrupt them

  function guard(owner, name, check) {
    const property = getOwnPropertyDescriptor(owner, name);
    property.value = new Proxy(property.value, {
      apply(f, self, args) { check(self, args); return apply(f, self, args); },
      construct(f, args, target) { check(undefined, args); return construct(f, args, target); },
    });
    defineProperty(owner, name, property);
    return property.value;
  }

  function text(length) {
    if (length > limits.text) throw new RangeError('Invalid string length');
  }
  function elements(length) {
    if (length > limits.elements) throw new RangeError('Invalid array length');
  }
  const sizeOf = (value) => typeof value === 'number' ? value
    : value !== null && typeof value === 'object' ? Number(value.length) : 0;
  const lengthOf = (value) => typeof value === 'string' ? value.length : 0;

  guard(String.prototype, 'repeat', (self, [count]) => text(String(self).length * Number(count)));
  guard(String.prototype, 'padStart', (self, [length]) => text(Number(length)));
  guard(String.prototype, 'padEnd', (self, [length]) => text(Number(length)));
  for (const name of ['replace', 'replaceAll']) {
    guard(String.prototype, name, (self, [, by]) => text(lengthOf(self) * lengthOf(by) / 16));
  }
  const pattern = (source) => {
    if (lengthOf(source) > limits.source) throw new RangeError('Regular expression too large');
  };
  for (const name of ['match', 'matchAll', 'search']) guard(String.prototype, name, (self, [p]) => pattern(p));
  defineProperty(RegExp.prototype, 'constructor', { value: guard(globalThis, 'RegExp', (self, [p]) => pattern(p)) });

  const quick = ['constructor', 'push', 'pop', 'at', 'keys', 'values', 'entries', 'join'];
  for (const name of ownKeys(Array.prototype)) {
    if (typeof name === 'string' && typeof Array.prototype[name] === 'function' && !quick.includes(name)) {
      guard(Array.prototype, name, (self) => { if (self != null) elements(self.length); });
    }
  }
  guard(Array.prototype, 'join', (self, [separator]) => {
    if (self == null) return;
    elements(self.length);
    let length = self.length * lengthOf(separator);
    for (let i = 0; i < self.length; i++) text(length += lengthOf(self[i]));
  });
  guard(Array, 'from', (self, [source]) => elements(sizeOf(source)));
  guard(Function.prototype, 'apply', (self, [, args]) => elements(sizeOf(args)));
  guard(Reflect, 'apply', (self, [, , args]) => elements(sizeOf(args)));
  guard(Reflect, 'construct', (self, [, args]) => elements(sizeOf(args)));

  const TypedArray = getPrototypeOf(Uint8Array);
  guard(TypedArray, 'from', (self, [source]) => elements(sizeOf(source)));
  for (const name of ['Array', 'ArrayBuffer', 'Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array',
    'Int32Array', 'Uint32Array', 'Float32Array', 'Float64Array', 'BigInt64Array', 'BigUint64Array']) {
    if (!(name in globalThis)) continue;
    const guarded = guard(globalThis, name, (self, args) => { if (args.length < 4) elements(sizeOf(args[0])); });
    // Not of Array: every array function looks it up, and the engine is fast only if it finds its own.
    if (name !== 'Array') defineProperty(guarded.prototype, 'constructor', { value: guarded });
  }
  const guardedParse = guard(JSON, 'parse', (self, [source]) => {
    if (lengthOf(source) > limits.depth && host.depth(source) > limits.depth) {
      throw new RangeError('JSON nested too deeply');
    }
  });

  const generation = () => { throw new EvalError('code generation from strings is off in a policy'); };
  for (const f of [function () {}, function* () {}, async function () {}]) {
    guard(getPrototypeOf(f), 'constructor', generation);
  }
  globalThis.Function = Function.prototype.constructor;
  globalThis.eval = generation;

  // ---- the globals of Node that a policy needs

  class Timeout {
    #id;
    constructor(id) { this.#id = id; }
    ref() { return this; }
    unref() { return this; }
    hasRef() { return true; }
    [Symbol.toPrimitive]() { return this.#id; }
  }

  function schedule(f, delay, args, repeat) {
    if (typeof f !== 'function') throw new TypeError('a timer needs a function');
    return new Timeout(host.schedule(() => { apply(f, undefined, args); }, Number(delay) || 0, repeat));
  }
  const clear = (timer) => { if (timer != null) host.cancel(Number(timer)); };
  const queueMicrotask = (f, ...args) => { apply(then, resolved(), [() => { apply(f, undefined, args); }]); };

  const logger = (level) => (...args) => { host.log(level, host.format(...args.map(show))); };
  function show(value) {
    if (value === null || typeof value !== 'object') return value;
    if (value instanceof Error) return value.stack;
    try { return stringify(value); } catch { return String(value); }
  }

  class Headers {
    #values = create(null);
    constructor(pairs) { for (const [name, value] of pairs) this.#values[name.toLowerCase()] = value; }
    get(name) { return this.#values[String(name).toLowerCase()] ?? null; }
    has(name) { return String(name).toLowerCase() in this.#values; }
    forEach(f) { for (const name of keys(this.#values)) f(this.#values[name], name, this); }
  }

  class Response {
    #text;
    constructor(status, statusText, url, headers, body) {
      this.#text = body;
      assign(this, { status, statusText, url, headers: new Headers(headers), ok: status >= 200 && status < 300 });
    }
    async text() { return this.#text; }
    async json() { return guardedParse(this.#text); }
  }

  function fetch(resource, options) {
    return new Promise((resolve, reject) => {
      const { method = 'GET', headers = {}, body = null } = options ?? {};
      if (body !== null && typeof body !== 'string') throw new TypeError('fetch: the body must be a string');
      const pairs = keys(headers).map((name) => [name, String(headers[name])]);
      host.fetch(String(resource), String(method).toUpperCase(), pairs, body,
        (...response) => resolve(new Response(...response)),
        (message) => reject(new TypeError(message)));
    });
  }

  const process = {
    env: freeze(assign(create(null), host.env)),
    nextTick: queueMicrotask,
    on() { return process; },
    exit() { throw new TypeError('process.exit: a policy cannot end the server'); },
  };

  assign(globalThis, {
    global: globalThis,
    process,
    fetch,
    queueMicrotask,
    console: { log: logger('info'), info: logger('info'), debug: logger('debug'), warn: logger('warn'), error: logger('error'), trace: logger('debug') },
    setTimeout: (f, delay, ...args) => schedule(f, delay, args, false),
    setInterval: (f, delay, ...args) => schedule(f, delay, args, true),
    setImmediate: (f, ...args) => schedule(f, 0, args, false),
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
  });

  // ---- PouchDB: names an upstream database

  const names = assign(create(null), { designDocs: 'design_docs', docIds: 'doc_ids', tokenId: 'token_id', queryParams: 'query_params' });
  const ofStorage = ['name', 'adapter', 'auto_compaction', 'revs_limit', 'skip_setup'];

  function PouchDB(name, options) {
    if (!new.target) return new PouchDB(name, options);
    if (name !== null && typeof name === 'object') [name, options] = [name.name, name];
    if (typeof name !== 'string' || name === '') throw new TypeError('new PouchDB(name): the name must be a string that is not empty');
    host.open(this, name, optionsText(options));
    defineProperty(this, 'name', { value: name, enumerable: true });
  }

  // The options as JSON text. What JSON.stringify would leave out or turn into null is an error instead: a selector that
  // is undefined by mistake must not become a grant of everything.
  function optionsText(options) {
    if (options === undefined || options === null) return '{}';
    if (typeof options !== 'object') throw new TypeError('new PouchDB(name, options): the options must be an object');
    const grant = create(null);
    for (const key of keys(options)) {
      if (ofStorage.includes(key)) continue;
      const name = names[key] ?? key;
      if (name in grant) throw new TypeError(`new PouchDB: option ${name} is given twice`);
      grant[name] = options[key];
      if (grant[name] === null) throw new TypeError(`new PouchDB: option ${key} is null`);
    }
    if (typeof grant.filter === 'string') grant.filter = { name: grant.filter };
    if ('query_params' in grant) {
      grant.filter = assign(create(null), grant.filter, { query: grant.query_params });
      delete grant.query_params;
    }
    if (typeof grant.expires === 'number' && grant.expires > 1e11) throw new TypeError('new PouchDB: option expires is in seconds, not milliseconds');
    return stringify(grant, (key, value) => {
      if (value === undefined || typeof value === 'function' || typeof value === 'symbol' || (typeof value === 'number' && !isFinite(value))) {
        throw new TypeError(`new PouchDB: option ${key} is ${String(value)}, which is not a JSON value`);
      }
      return value;
    });
  }
  globalThis.PouchDB = PouchDB;

  // ---- the modules of a server's file

  let captured;
  function server() {
    const ignore = () => self;
    const self = {
      on: ignore, once: ignore, off: ignore, addListener: ignore, removeListener: ignore,
      listen(...args) {
        host.listen();
        const callback = args[args.length - 1];
        if (typeof callback === 'function') queueMicrotask(callback);
        return self;
      },
      address() { return null; },
      close(callback) { if (typeof callback === 'function') queueMicrotask(callback); return self; },
    };
    return self;
  }
  const modules = assign(create(null), {
    pouchdb: PouchDB,
    http: { createServer: server },
    'pouch-websocket-sync': {
      createServer(httpServer, onRequest) {
        if (typeof onRequest !== 'function') throw new TypeError('createServer(httpServer, onRequest): onRequest must be a function');
        if (captured) throw new TypeError('createServer is called twice: a policy has one onRequest');
        captured = onRequest;
        return server();
      },
    },
    process,
    console: globalThis.console,
  });

  // ---- for Go

  const ofEngine = [TypeError, RangeError, ReferenceError, SyntaxError, EvalError, URIError, AggregateError];

  // describe tells what is to be made of an error: is it meant for the user, the message, the code, the text for the log.
  function describe(error) {
    if (typeof error === 'string') return [true, error, '', error];
    if (error === null || typeof error !== 'object' || typeof error.message !== 'string') return [false, '', '', `not an error: ${show(error)}`];
    const { message, name } = error;
    const code = error.status ?? error.statusCode ?? error.code ?? name;
    const system = typeof error.code === 'string' && /^[A-Z][A-Z0-9_]+$/.test(error.code); // ENOENT, MODULE_NOT_FOUND
    const engine = system || name === 'GoError' || ofEngine.some((type) => error instanceof type);
    return [!engine, message, String(code), String(error.stack || `${name}: ${message}`)];
  }

  // follow calls one of the functions when value is a promise and settles.
  function follow(value, fulfilled, rejected) {
    if (value !== null && typeof value === 'object' && typeof value.then === 'function') {
      apply(then, resolved(value), [fulfilled, rejected]);
    }
  }

  // handler finds the policy's function once its file has run. After that no property can be added to what every object
  // inherits: credentials merged carelessly ("__proto__") do not reach the next request.
  function handler(onRequest) {
    Object.preventExtensions(Object.prototype);
    const { exports } = globalThis.module;
    return [captured, exports, exports?.onRequest, exports?.default, onRequest].find((f) => typeof f === 'function');
  }

  return { parse, describe, follow, handler, modules };
})
