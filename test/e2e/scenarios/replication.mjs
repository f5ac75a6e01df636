/** First replication, live replication, conflicts and histories. */
import assert from 'node:assert/strict';
import { grown, plain, variety } from './documents.mjs';

export default [
  {
    name: 'first pull',
    async run(world) {
      const database = await world.database();
      await variety(database, 'pulled');
      const { replica } = await world.pair({ database });
      await world.same(database, replica);
    },
  },
  {
    name: 'first push',
    async run(world) {
      const replica = world.replica();
      await variety(replica, 'pushed');
      const { database } = await world.pair({ replica });
      await world.same(database, replica);
    },
  },
  {
    name: 'first pull and first push at once',
    async run(world) {
      const [database, replica] = [await world.database(), world.replica()];
      await Promise.all([variety(database, 'pulled'), variety(replica, 'pushed')]);
      await world.pair({ database, replica });
      await world.same(database, replica);
    },
  },
  {
    name: 'a database without documents',
    async run(world) {
      const { database, replica } = await world.pair();
      await world.same(database, replica);
      await replica.write({ _id: 'the first' });
      await world.same(database, replica);
    },
  },
  {
    name: 'a thousand documents each way',
    async run(world) {
      const [database, replica] = [await world.database(), world.replica()];
      await Promise.all([database.write(...plain('pulled', 1000)), replica.write(...plain('pushed', 1000))]);
      await world.pair({ database, replica });
      await world.same(database, replica);
    },
  },
  {
    name: 'live both ways',
    async run(world) {
      const { database, replica } = await world.pair();
      for (let round = 0; round < 5; round++) {
        await Promise.all([database.write({ _id: `pulled-${round}`, round }), replica.write({ _id: `pushed-${round}`, round })]);
        await world.same(database, replica);
      }
      await Promise.all([variety(database, 'pulled-live'), variety(replica, 'pushed-live')]);
      await world.same(database, replica);
    },
  },
  {
    name: 'a document edited in turns',
    async run(world) {
      const { database, replica } = await world.pair();
      for (let generation = 1; generation <= 12; generation++) {
        const side = generation % 2 ? database : replica;
        await side.edit('shared', { generation });
        await world.same(database, replica);
      }
    },
  },
  {
    name: 'conflicts made while apart, solved on both sides',
    async run(world) {
      const [database, replica] = [await world.database(), world.replica()];
      for (const id of ['solved-upstream', 'solved-in-the-replica']) {
        await database.graft(grown(id, 'a', { side: 'upstream' }));
        await replica.graft(grown(id, 'b', { side: 'replica' }));
      }
      for (const side of [database, replica]) {
        await side.graft(grown('edited', 'a', { side: 'both' }));
        await side.edit('edited', { side: side.label });
      }
      await world.pair({ database, replica });
      await world.same(database, replica);
      await solve(database, 'solved-upstream');
      await solve(replica, 'solved-in-the-replica');
      await solve(replica, 'edited');
      await world.same(database, replica);
    },
  },
  {
    name: 'deletes both ways',
    async run(world) {
      const database = await world.database();
      await database.write(...plain('doc', 6));
      const { replica } = await world.pair({ database });
      await world.same(database, replica);
      for (const id of ['doc-0', 'doc-1']) await database.remove(id);
      for (const id of ['doc-2', 'doc-3']) await replica.remove(id);
      await world.same(database, replica);
      await database.edit('doc-2', { again: 'upstream' });
      await replica.edit('doc-0', { again: 'in the replica' });
      await world.same(database, replica);
    },
  },
  {
    name: 'the same document deleted on both sides',
    async run(world) {
      const [database, replica] = [await world.database(), world.replica()];
      for (const side of [database, replica]) {
        await side.graft(grown('doc', 'a'));
        await side.edit('doc', { _deleted: true, side: side.label });
      }
      await world.pair({ database, replica });
      await world.same(database, replica);
    },
  },
  {
    name: 'a losing first revision arrives after the winning one, live and at the next connection',
    async run(world) {
      const database = await world.database();
      await database.graft(grown('live', 'b', { wins: true }), grown('later', 'b', { wins: true }));
      const { replica, session } = await world.pair({ database });
      await world.same(database, replica);
      await database.graft(grown('live', 'a', { wins: false }));
      await world.same(database, replica);
      await session.end();
      await database.graft(grown('later', 'a', { wins: false }));
      await world.pair({ database, replica });
      await world.same(database, replica);
    },
  },
  {
    name: 'a losing first revision that a replica gets after the winning one',
    cases: [
      {
        name: 'arrives upstream',
        holds: (client) => client.pushesLosingFirstRevisions,
        async run(world) {
          const { database, replica } = await loser(world);
          await world.same(database, replica);
        },
      },
      {
        // PouchDB 5 takes the winner for it; upstream is not even told that there is another.
        name: 'stays in the replica until it is edited',
        holds: (client) => !client.pushesLosingFirstRevisions,
        async run(world) {
          const { database, replica } = await loser(world);
          await replica.write({ _id: 'pushed after it' });
          await world.has(database, ['pushed after it']);
          const leaves = (await database.revisions()).get('doc');
          assert.deepEqual(leaves, [grown('doc', 'b')._rev], `expected the client not to push the losing revision to ${database.label}`);
          await replica.graft(grown('doc', 'ac', { edited: true }));
          await world.same(database, replica);
        },
      },
    ],
  },
  {
    name: 'histories of a thousand revisions',
    async run(world) {
      const [database, replica] = [await world.database(), world.replica()];
      await database.graft(deep('pulled', 1000));
      await replica.graft(deep('pushed', 1000));
      await world.pair({ database, replica });
      await world.same(database, replica);
      await database.edit('pushed', { edited: 'upstream' });
      await replica.edit('pulled', { edited: 'in the replica' });
      // Beyond a thousand, each side cuts histories as it likes.
      await world.same(database, replica, { ancestry: false });
    },
  },
  {
    name: 'a history of fifty live edits',
    async run(world) {
      const { database, replica } = await world.pair();
      for (let i = 0; i < 25; i++) await Promise.all([database.edit('pulled', { i }), replica.edit('pushed', { i })]);
      await world.same(database, replica);
      for (let i = 0; i < 25; i++) await Promise.all([database.edit('pushed', { i }), replica.edit('pulled', { i })]);
      await world.same(database, replica);
    },
  },
  {
    name: 'large documents both ways',
    async run(world) {
      const [database, replica] = [await world.database(), world.replica()];
      const text = 'é'.repeat(1 << 20);
      await Promise.all([database.write({ _id: 'pulled', text }), replica.write({ _id: 'pushed', text })]);
      await world.pair({ database, replica });
      await world.same(database, replica);
    },
  },
];

/** A pair that agreed on a winning revision, and whose replica then gets a losing one. */
async function loser(world) {
  const database = await world.database();
  await database.graft(grown('doc', 'b', { wins: true }));
  const { replica } = await world.pair({ database });
  await world.same(database, replica);
  await replica.graft(grown('doc', 'a', { wins: false }));
  return { database, replica };
}

/** Deletes the losing revisions. */
async function solve(side, id) {
  const winner = (await side.read(id))._rev;
  const losers = (await side.leaves([id])).filter((leaf) => leaf._rev !== winner && !leaf._deleted);
  await side.write(...losers.map(({ _rev }) => ({ _id: id, _rev, _deleted: true })));
}

/** A document of that many generations. */
function deep(id, generations) {
  const ids = Array.from({ length: generations }, (_, i) => (generations - i).toString(16).padStart(32, '0'));
  return { _id: id, _rev: `${generations}-${ids[0]}`, _revisions: { start: generations, ids }, deep: true };
}
