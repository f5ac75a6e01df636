/**
 * One replication by the published client: pouch-websocket-sync 0.3.0 on PouchDB 5.4.5, with a database in memory.
 *
 *   node client.mjs '{"install": directory, "address": ws://…, "database": name, "direction": "pull" | "push", "count": n, "documents": file}'
 *
 * It connects, waits until n documents were written on the other side of their way, and says {"ms": time since it began to
 * connect, "written": n, "there": documents in the database in memory}.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const { install, address, database, direction, count, documents } = JSON.parse(process.argv[2]);
const load = createRequire(path.join(install, 'package.json'));
const PouchDB = load('pouchdb');
const db = new PouchDB({ name: `client-of-${database}`, db: load('memdown') });
if (direction === 'push') await fill(JSON.parse(fs.readFileSync(documents, 'utf8')));
else await db.info(); // it is open

const client = load('pouch-websocket-sync').createClient();
client.on('error', fail);
const sync = client.sync(db, { remoteName: database, credentials: {} });
sync.on('error', fail);
sync.on('denied', fail);

let written = 0;
const began = performance.now();
sync.on('change', ({ direction: way, change }) => {
  if (way !== direction || written >= count) return;
  written += change.docs.length;
  if (written >= count) finish(performance.now() - began).catch(fail);
});
client.connect(address);

async function fill(docs) {
  for (let i = 0; i < docs.length; i += 1000) {
    for (const row of await db.bulkDocs(docs.slice(i, i + 1000))) {
      if (!row.ok) throw new Error(`${row.id} was not written: ${row.message}`);
    }
  }
}

async function finish(ms) {
  const { doc_count: there } = await db.info();
  client.on('disconnect', () => process.exit(0));
  process.stdout.write(`${JSON.stringify({ ms, written, there })}\n`, () => client.end());
}

function fail(err) {
  console.error(err);
  process.exit(1);
}
