/** Document ids that need escaping somewhere on their way. */
import assert from 'node:assert/strict';
import { credentials } from '../lib/bridge.mjs';

const ids = [
  'naïve/ünïcödé', '日本語', '😀', 'é', 'e\u0301', 'שלום', '\u2028', 'zero\u200bwidth',
  'a/b', 'a//b', '/leading', 'trailing/', '/',
  'per%cent', '%', '%2F', 'a%2Fb', '%zz', '%00',
  'que?ry', '?rev=1-a', 'ha#sh', 'pl+us', 'sp ace', ' ', 'amp&ersand=1', 'semi;colon', 'comma,colon:', '@', '$', '!*\'()',
  'quote"', 'back\\slash', 'tab\t', 'line\nbreak', 'nul\u0000', '<b>', '{"json":1}', '[1]', 'null', 'true', '0', '1e3', '-',
  'UPPER', 'upper', 'Upper', 'a_underscore', 'local/_local/x', 'design/_design/x', 'x'.repeat(500),
];

export default [
  {
    name: 'ids with unicode, slashes and every delimiter of a URL',
    async run(world) {
      const [database, replica] = [await world.database(), world.replica()];
      await database.write(...ids.map((id) => ({ _id: `pulled ${id}`, id })), ...ids.map((id) => ({ _id: id, id })));
      await replica.write(...ids.map((id) => ({ _id: `pushed ${id}`, id })));
      await meet(world, database, replica);
      await editAll(replica, (id) => [id, `pulled ${id}`]);
      await editAll(database, (id) => [`pushed ${id}`]);
      await meet(world, database, replica);
      await removeAll(replica, (id) => id);
      await removeAll(database, (id) => `pulled ${id}`);
      await meet(world, database, replica);
    },
  },
  {
    name: 'ids that are steps of a path',
    async run(world) {
      const [database, replica] = [await world.database(), world.replica()];
      await database.write({ _id: '..' }, { _id: 'a/../b' });
      await replica.write({ _id: '.' }, { _id: './a' });
      await world.pair({ database, replica });
      await world.same(database, replica);
      for (const id of ['..', 'a/../b']) await replica.edit(id, { edited: 'in the replica' });
      await world.same(database, replica);
    },
  },
  {
    name: 'ids that are names of object members',
    cases: [
      {
        name: 'are like all others',
        holds: (client) => client.pushesNamesOfObjectMembers,
        async run(world) {
          const { database, replica } = await members(world);
          await replica.edit('constructor', { edited: 'in the replica' });
          await world.same(database, replica);
        },
      },
      {
        name: 'stop a push when they are edited, by an error in the client',
        holds: (client) => !client.pushesNamesOfObjectMembers,
        async run(world) {
          const { replica, sync } = await members(world);
          await replica.edit('constructor', { edited: 'in the replica' });
          const { message } = await sync.error();
          assert.match(message, /is not a function/, "expected the sync's error to be the client's own");
        },
      },
    ],
  },
  {
    name: 'design documents both ways',
    async run(world) {
      const [database, replica] = [await world.database(), world.replica()];
      const views = { view: { map: 'function (doc) { emit(doc._id); }' } };
      await database.write({ _id: '_design/pulled', views }, { _id: '_design/pulled/ünï cödé', views });
      await replica.write({ _id: '_design/pushed', views }, { _id: '_design/pushed/ünï cödé', views });
      await world.pair({ database, replica });
      await world.same(database, replica);
      await database.edit('_design/pushed', { edited: 'upstream' });
      await replica.edit('_design/pulled', { edited: 'in the replica' });
      await world.same(database, replica);
    },
  },
  {
    name: 'databases with every character a name may have, several on one connection',
    async run(world) {
      const session = world.session();
      const pairs = [];
      for (const prefix of ['e2e-', 'e2e_$()+-', 'e2e/']) {
        const [database, replica] = [await world.database(prefix), world.replica()];
        await database.write({ _id: 'pulled', prefix });
        await replica.write({ _id: 'pushed', prefix });
        session.sync(replica, database.name, credentials('writer'));
        pairs.push([database, replica]);
      }
      await session.connect();
      for (const [database, replica] of pairs) await world.same(database, replica);
      for (const [database, replica] of pairs) {
        await Promise.all([database.edit('pulled', { edited: database.name }), replica.edit('pushed', { edited: database.name })]);
        await world.same(database, replica);
      }
    },
  },
  {
    name: 'a database that is called otherwise upstream, and one that is synced twice',
    async run(world) {
      const session = world.session();
      const database = await world.database('e2e-');
      const [renamed, first, second] = [world.replica(), world.replica(), world.replica()];
      session.sync(renamed, database.name.replace('e2e-', 'todos-'), credentials('tenant'));
      session.sync(first, database.name, credentials('writer'));
      session.sync(second, database.name, credentials('writer'));
      await session.connect();
      await Promise.all([renamed, first, second].map((replica, i) => replica.write({ _id: `from-${i}` })));
      for (const replica of [renamed, first, second]) await world.same(database, replica);
    },
  },
];

/** Brings both sides together on a connection of its own: what was written before comes in batches, not one by one. */
async function meet(world, database, replica) {
  const { session } = await world.pair({ database, replica });
  await world.same(database, replica);
  await session.end();
}

/** A pair that has documents of such ids. */
async function members(world) {
  const database = await world.database();
  await database.write({ _id: 'constructor' }, { _id: 'toString' });
  const { replica, sync } = await world.pair({ database });
  await world.same(database, replica);
  return { database, replica, sync };
}

async function editAll(side, idsOf) {
  const all = ids.flatMap(idsOf);
  const leaves = await side.leaves(all);
  await side.write(...leaves.map(({ _id, _rev, id }) => ({ _id, _rev, id, edited: true })));
}

async function removeAll(side, idOf) {
  const leaves = await side.leaves(ids.map(idOf));
  await side.write(...leaves.map(({ _id, _rev }) => ({ _id, _rev, _deleted: true })));
}
