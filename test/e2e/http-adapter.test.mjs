/** PouchDB's own HTTP adapter against the upstream, without the bridge: the embedded store must be a CouchDB to it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Client } from './lib/clients.mjs';
import { Stage, World } from './lib/world.mjs';
import { plain, variety } from './scenarios/documents.mjs';

describe('the HTTP adapter of PouchDB 9.0.0', { concurrency: 4 }, () => {
  const client = new Client('9.0.0');
  let stage;
  before(async () => { stage = await Stage.open(); });
  after(() => stage.close());

  function direct(name, run) {
    it(name, { timeout: 180_000 }, async () => {
      const world = new World(stage, client);
      const endings = [];
      try {
        const [database, replica] = [await world.database(), world.replica()];
        const remote = new client.PouchDB(`${stage.upstream.directURL.replace(/\/$/, '')}/${encodeURIComponent(database.name)}`);
        endings.push(() => remote.close());
        await run({ world, database, replica, remote, endings });
      } finally {
        for (const ending of endings.reverse()) await ending();
        await world.close();
      }
    });
  }

  direct('replicates both ways', async ({ world, database, replica, remote }) => {
    await Promise.all([variety(database, 'pulled'), variety(replica, 'pushed')]);
    await replica.db.sync(remote);
    await world.same(database, replica);
  });

  direct('replicates attachments both ways', async ({ world, database, replica, remote }) => {
    const data = randomBytes(300_000);
    const text = Buffer.from('naïve '.repeat(5000));
    await database.write({ _id: 'pulled', _attachments: {
      'ünï/cödé.bin': { content_type: 'application/octet-stream', data: data.toString('base64') },
      'text.txt': { content_type: 'text/plain', data: text.toString('base64') },
    } });
    await replica.write({ _id: 'pushed', _attachments: {
      'ünï/cödé.bin': { content_type: 'application/octet-stream', data },
      'text.txt': { content_type: 'text/plain', data: text },
    } });
    await replica.db.sync(remote);
    await world.same(database, replica);
    await Promise.all([database.edit('pushed', { edited: 'upstream' }), replica.edit('pulled', { edited: 'in the replica' })]);
    await replica.db.sync(remote);
    await world.same(database, replica);
    assert.ok((await remote.getAttachment('pulled', 'ünï/cödé.bin')).equals(data), 'expected the attachment to be read with its bytes');
  });

  direct('replicates live both ways', async ({ world, database, replica, remote, endings }) => {
    const sync = replica.db.sync(remote, { live: true });
    const ended = new Promise((resolve, reject) => { sync.on('complete', resolve); sync.on('error', reject); });
    endings.push(() => { sync.cancel(); return ended; });
    for (let round = 0; round < 3; round++) {
      await Promise.all([database.write(...plain(`pulled-${round}`, 20)), replica.write(...plain(`pushed-${round}`, 20))]);
      await world.same(database, replica);
    }
  });

  direct('has its writes refused by validate_doc_update', async ({ world, database, replica, remote }) => {
    await database.write({ _id: '_design/rules', validate_doc_update: "function (doc) { if (doc.bad) throw({forbidden: 'not this one'}); }" });
    await replica.write({ _id: 'bad', bad: true }, { _id: 'good' });
    const denied = [];
    await replica.db.replicate.to(remote).on('denied', (denial) => denied.push(denial));
    assert.deepEqual(denied.map(({ id, name, reason }) => ({ id, name, reason })), [{ id: 'bad', name: 'forbidden', reason: 'not this one' }], "expected one 'denied' event");
    await world.has(database, ['good']);
    assert.equal(await database.read('bad'), undefined, `expected the refused document not to be in ${database.label}`);
  });

  direct('reads and writes documents, queries and finds', async ({ remote }) => {
    const { rev } = await remote.put({ _id: 'a/b', number: 1 });
    await assert.rejects(remote.put({ _id: 'a/b' }), { status: 409 }, 'expected a write without revision to be a conflict');
    await remote.put({ _id: 'a/b', _rev: rev, number: 2 });
    await remote.bulkDocs(plain('doc', 10));
    assert.equal((await remote.get('a/b')).number, 2, 'expected the second revision');
    const { rows, total_rows: total } = await remote.allDocs({ include_docs: true, startkey: 'doc-3', limit: 2 });
    assert.deepEqual([rows.map((row) => row.doc.number), total], [[3, 4], 11], 'expected two rows of eleven');
    assert.equal((await remote.info()).doc_count, 11, 'expected eleven documents');
  });
});
