/** Attachments. PouchDB 5.0 to 5.3 can take them from the bridge, later ones cannot; all can send them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
const contents = {
  'every byte.bin': { content_type: 'application/octet-stream', data: everyByte },
  'compressible.txt': { content_type: 'text/plain', data: Buffer.from('naïve '.repeat(2000)) },
  'ünïcödé/in a directory.json': { content_type: 'application/json; charset=utf-8', data: Buffer.from('{"a": 1.0}') },
  empty: { content_type: 'image/png', data: Buffer.alloc(0) },
  'random.bin': { content_type: 'application/octet-stream', data: randomBytes(50_000) },
};
const large = { 'large.bin': { content_type: 'application/octet-stream', data: randomBytes(1 << 20) } };

export default [
  {
    name: 'attachments from upstream',
    cases: [
      {
        name: 'arrive',
        holds: (client) => client.pullsAttachments,
        async run(world) {
          const { database, replica } = await attached(world);
          await world.same(database, replica);
          await database.edit('doc-0', { _attachments: inline({ ...contents, another: { content_type: 'text/plain', data: everyByte } }) });
          await database.write({ _id: 'live', _attachments: inline(contents) }, { _id: 'large', _attachments: inline(large) });
          await world.same(database, replica);
        },
      },
      {
        name: 'stay there, their documents arrive without them',
        holds: (client) => !client.pullsAttachments,
        async run(world) {
          const { database, replica } = await attached(world);
          await world.same(database, replica, { attachments: false });
          assert.equal((await replica.read('doc-0'))._attachments, undefined, 'expected doc-0 to arrive without attachments');
          await database.write({ _id: 'live', _attachments: inline(contents) }, { _id: 'live, without' });
          await world.same(database, replica, { attachments: false });
        },
      },
    ],
  },
  {
    name: "a client's edits of documents with attachments",
    cases: [
      {
        name: 'keep, replace, add and remove them',
        holds: (client) => client.pullsAttachments,
        async run(world) {
          const { database, replica } = await attached(world);
          await world.same(database, replica);
          const mine = { content_type: 'text/plain', data: Buffer.from('mine') };
          const { empty, ...others } = (await replica.read('doc-1'))._attachments;
          await replica.edit('doc-0', { edited: true });
          await replica.edit('doc-1', { _attachments: { ...others, 'every byte.bin': mine, mine } });
          await world.same(database, replica);
          await holds(database, 'doc-0', contents);
          await holds(database, 'doc-1', { ...without(contents, 'empty'), 'every byte.bin': mine, mine });
        },
      },
      {
        name: 'keep them although it does not have them, add and replace',
        holds: (client) => !client.pullsAttachments,
        async run(world) {
          const { database, replica, session } = await attached(world);
          const unseen = { attachments: false };
          await world.same(database, replica, unseen);
          const mine = { content_type: 'text/plain', data: Buffer.from('mine') };
          await replica.edit('doc-0', { edited: true });
          await replica.edit('doc-1', { _attachments: { 'every byte.bin': mine, mine } });
          await world.same(database, replica, unseen);
          await holds(database, 'doc-0', contents);
          await holds(database, 'doc-1', { ...contents, 'every byte.bin': mine, mine });

          await session.end();
          for (let i = 0; i < 3; i++) await replica.edit('doc-0', { edited: i });
          await world.pair({ database, replica });
          await world.same(database, replica, unseen);
          await holds(database, 'doc-0', contents);

          await replica.remove('doc-1');
          await database.remove('doc-0');
          await world.same(database, replica, unseen);
        },
      },
    ],
  },
  {
    name: 'attachments from a client',
    async run(world) {
      const replica = world.replica();
      await replica.write({ _id: 'first', _attachments: buffers(contents) }, { _id: 'second' });
      await replica.edit('second', { _attachments: buffers(contents) });
      const { database } = await world.pair({ replica });
      await world.same(database, replica);
      await replica.write({ _id: 'live', _attachments: buffers(contents) }, { _id: 'large', _attachments: buffers(large) });
      await replica.edit('first', { edited: true });
      await replica.edit('second', { _attachments: buffers({ ...contents, empty: { content_type: 'text/plain', data: everyByte } }) });
      await world.same(database, replica);
      await database.edit('first', { edited: 'upstream' });
      await world.same(database, replica, { attachments: world.client.pullsAttachments });
      await holds(database, 'first', contents);
    },
  },
  {
    name: 'an attachment that a client removes',
    cases: [
      {
        name: 'is gone upstream',
        holds: (client) => client.pullsAttachments,
        async run(world) {
          const { database, replica } = await attached(world);
          await world.same(database, replica);
          await replica.edit('doc-0', { _attachments: undefined });
          await world.same(database, replica);
          await holds(database, 'doc-0', {});
        },
      },
      {
        // The bridge cannot tell it from one that the client was not able to take.
        name: 'stays there, as nothing tells it from one the client could not take',
        holds: (client) => !client.pullsAttachments,
        async run(world) {
          const { database, replica } = await world.pair();
          await replica.write({ _id: 'doc', _attachments: buffers(contents) });
          await world.same(database, replica);
          await replica.edit('doc', { _attachments: undefined });
          await world.same(database, replica, { attachments: false });
          await holds(database, 'doc', contents);
        },
      },
    ],
  },
];

/** A pair whose database has documents with attachments, of first and later generations. */
async function attached(world) {
  const database = await world.database();
  const docs = [0, 1, 2].map((i) => ({ _id: `doc-${i}`, _attachments: inline(contents) }));
  await database.write(...docs, { _id: 'without' });
  await database.edit('doc-2', { edited: true });
  return world.pair({ database });
}

/** As CouchDB takes them. */
function inline(attachments) {
  return each(attachments, ({ content_type, data }) => ({ content_type, data: data.toString('base64') }));
}

/** As an app under Node gives them to PouchDB. */
function buffers(attachments) {
  return each(attachments, ({ content_type, data }) => ({ content_type, data }));
}

function each(attachments, change) {
  return Object.fromEntries(Object.entries(attachments).map(([name, attachment]) => [name, change(attachment)]));
}

function without(attachments, name) {
  return Object.fromEntries(Object.entries(attachments).filter(([key]) => key !== name));
}

/** Fails unless the document's one leaf upstream has exactly these attachments. */
async function holds(database, id, expected) {
  const leaves = await database.leaves([id]);
  assert.equal(leaves.length, 1, `expected ${id} to have one leaf in ${database.label}`);
  const actual = each(leaves[0]._attachments ?? {}, ({ content_type, data }) => ({ content_type, data }));
  assert.deepEqual(actual, inline(expected), `expected ${id} to have the attachments ${Object.keys(expected).join(', ')} in ${database.label}`);
}
