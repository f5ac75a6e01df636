/** The example of pouch-websocket-sync's documentation. */
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { Bridge } from '../lib/bridge.mjs';
import { event, inTime } from '../lib/wait.mjs';

const ADDRESS = 'ws://somehost:someport';
const documented = new URL('../fixtures/documented-client.js', import.meta.url);

export default [
  {
    name: "the documentation's example runs as it is written, but for host and port",
    async run(world) {
      const database = await world.database();
      await database.write({ _id: 'pulled' });
      const holder = { token: 'some token', databases: [{ match: 'todos-server', database: database.name }] };
      const bridge = await Bridge.start(world.upstream.url, [holder]);
      const example = await Example.start(world.client, bridge.url);
      try {
        await example.saw('pulled');
        example.put({ _id: 'pushed' });
        await world.has(database, ['pushed']);
        await database.write({ _id: 'live' });
        await example.saw('live');
        await example.end();
      } finally {
        await example.close();
        await bridge.close();
      }
    },
  },
];

/** The example in a process of its own, in a directory of its own: its database is on disk. */
class Example {
  static async start(client, url) {
    const example = new Example();
    example.#directory = await fs.mkdtemp(path.join(os.tmpdir(), 'pouchbridge-example-'));
    const text = await fs.readFile(documented, 'utf8');
    assert.ok(text.includes(ADDRESS), `expected the example to connect to ${ADDRESS}`);
    const script = path.join(example.#directory, 'example.cjs');
    await fs.writeFile(script, `${prologue(client)}\n${text.replace(ADDRESS, url)}\n${epilogue}`);
    example.#child = fork(script, {
      cwd: example.#directory,
      execArgv: [],
      silent: true,
      env: { PATH: process.env.PATH, NODE_PATH: path.join(client.directory, 'node_modules') },
    });
    example.#child.stderr.on('data', (text) => { example.#output += text; });
    example.#exited = new Promise((resolve) => { example.#child.once('exit', (code, signal) => resolve(signal ?? code)); });
    example.#child.on('message', (id) => example.#seen.add(id));
    return example;
  }

  #child;
  #directory;
  #exited;
  #output = '';
  #seen = new Set();

  /** Waits until a document is in the example's database. */
  async saw(id) {
    while (!this.#seen.has(id)) await event(this.#child, 'message', `the example's database to have ${id}`);
  }

  put(doc) {
    this.#child.send(doc);
  }

  /** Has it end its client; its process must then end by itself. */
  async end() {
    this.#child.disconnect();
    const how = await inTime(this.#exited, 'the example to end once its client was ended');
    assert.equal(how, 0, `expected the example to end without an error, but it wrote ${this.#output}`);
  }

  async close() {
    this.#child.kill('SIGKILL');
    await this.#exited;
    await fs.rm(this.#directory, { recursive: true });
  }
}

/** PouchDB, which the example takes as given. PouchDB 5 finds no engine for databases on disk under Node 20. */
function prologue(client) {
  return client.oldConstructor
    ? "var PouchDB = require('pouchdb').defaults({ db: require('memdown') });"
    : "var PouchDB = require('pouchdb');";
}

/** Tells what arrives, writes what it is told, and ends when nobody is there any more. */
const epilogue = `
var changes = db.changes({ since: 0, live: true }).on('change', function (change) { process.send(change.id); });
process.on('message', function (doc) { db.put(doc); });
process.on('disconnect', function () { changes.cancel(); client.end(); });
`;
