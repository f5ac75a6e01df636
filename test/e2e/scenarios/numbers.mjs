/** Documents keep their text. */
import assert from 'node:assert/strict';
import { credentials } from '../lib/bridge.mjs';
import { RawClient } from '../lib/raw.mjs';

// As CouchDB itself writes them: it turns 1e2 into 100.0 when it stores a document.
const members = '"big":12345678901234567890,"one":1.0,"small":1.5e-7,"order":{"z":1,"a":2},"text":"é\\u0000"';

export default [
  {
    name: 'numbers and member order of a document that a client pulls and does not edit stay as they are upstream',
    async run(world) {
      const database = await world.database();
      const before = await text(database, 'doc', `{"_id":"doc",${members}}`);
      const { replica } = await world.pair({ database });
      await replica.write({ _id: 'pushed' });
      await world.has(replica, ['doc']);
      await world.has(database, ['pushed']);
      const after = await database.request('GET', 'doc');
      assert.equal(after.text, before, 'expected the document to be unchanged upstream');
      assert.equal((await replica.read('doc')).one, 1, 'expected the replica to have the numbers as JavaScript reads them');
    },
  },
  {
    name: 'numbers and member order keep their text on the wire, both ways',
    async run(world) {
      const database = await world.database();
      const stored = await text(database, 'doc', `{"_id":"doc",${members}}`);
      const raw = await RawClient.connect(world.client, world.bridge.url);
      try {
        const channel = await raw.open(database.name, credentials('writer'));
        const row = await channel.ask('allDocs', '[{"keys":["doc"],"include_docs":true}]');
        assert.ok(row.includes(`"doc":${stored.trim()}`), `expected the row to contain the document as upstream has it, ${stored.trim()}, but it is ${row}`);
        const leaf = await channel.ask('get', `["doc",{"open_revs":["${JSON.parse(stored)._rev}"],"revs":true}]`);
        assert.ok(leaf.includes(members), `expected the leaf to contain ${members}, but it is ${leaf}`);
        const pushed = `{"_id":"pushed","_rev":"1-${'a'.repeat(32)}",${members}}`;
        const result = await channel.ask('_bulkDocs', `[{"docs":[${pushed}],"new_edits":false},{"new_edits":false}]`);
        assert.equal(result, '[null,[]]', 'expected the push to succeed');
        const written = await database.request('GET', 'pushed');
        assert.ok(written.text.includes(members), `expected upstream to have ${members}, but it has ${written.text}`);
      } finally {
        await raw.close();
      }
    },
  },
];

/** Stores a document of that text; returns the text with which upstream answers. */
async function text(database, id, body) {
  const { status, text: answer } = await database.request('PUT', id, '', body);
  assert.equal(status, 201, `expected ${database.label} to store ${id}, but it answered ${answer}`);
  return (await database.request('GET', id)).text;
}
