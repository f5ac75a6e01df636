/**
 * The original server: pouch-websocket-sync 0.3.0 over databases of PouchDB 5.4.5 in memory.
 *
 *   node original.mjs '{"install": directory, "documents": file}'
 *
 * It says {"url": ws://…}, and then answers each line of its standard input: {"seed": name} puts the documents into a
 * database, {"count": name} says how many it has; both {"count": n}. It ends with its standard input.
 */
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';

const { install, documents } = JSON.parse(process.argv[2]);
const load = createRequire(path.join(install, 'package.json'));
const PouchDB = load('pouchdb');
const memdown = load('memdown');
const databases = new Map();

const server = http.createServer();
load('pouch-websocket-sync').createServer(server, (credentials, name, callback) => callback(null, open(name)))
  .on('error', () => {}); // of a connection whose client has ended, which would end the process otherwise
server.listen(0, '127.0.0.1', () => say({ url: `ws://127.0.0.1:${server.address().port}` }));

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { seed, count } = JSON.parse(line);
  if (seed) await fill(open(seed));
  const { doc_count: found } = await open(seed ?? count).info();
  say({ count: found });
}
process.exit(0);

function open(name) {
  if (!databases.has(name)) databases.set(name, new PouchDB({ name, db: memdown }));
  return databases.get(name);
}

async function fill(db) {
  const docs = JSON.parse(fs.readFileSync(documents, 'utf8'));
  for (let i = 0; i < docs.length; i += 1000) await db.bulkDocs(docs.slice(i, i + 1000));
}

function say(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
