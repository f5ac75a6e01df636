/** What the README promises: after any sequence of cuts, kills and restarts all replicas have the same leaves, and nothing written is lost. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { credentials } from '../lib/bridge.mjs';
import { TCPProxy } from '../lib/proxy.mjs';
import { grown } from './documents.mjs';

const ROUNDS = 6;
const REPLICAS = 3;

export default [{
  name: 'three replicas and their upstream converge after random faults amid random writes',
  async run(world) {
    await world.isolate({ upstream: true });
    const proxy = await TCPProxy.open(world.bridge.url);
    const history = []; // of faults and writes, to understand a failure
    try {
      const database = await world.database();
      const replicas = Array.from({ length: REPLICAS }, () => world.replica());
      for (const side of [database, ...replicas]) await side.graft(grown('everyones', 'a'));
      for (const replica of replicas) {
        const session = world.session(proxy.url);
        session.sync(replica, database.name, credentials('writer'));
        await session.connect();
      }
      const faults = {
        cut: async () => proxy.cut(),
        kill: async () => { await world.bridge.end('SIGKILL'); await world.bridge.resume(); },
        restart: async () => { await world.bridge.end('SIGTERM'); await world.bridge.resume(); },
        upstream: async () => {
          const restore = await world.upstream.fail();
          await restore();
          database.server = world.upstream.couch;
        },
      };
      const kinds = Object.keys(faults);
      const written = [];
      for (let round = 0; round < ROUNDS; round++) {
        const kind = round < kinds.length ? kinds[round] : kinds[randomInt(kinds.length)];
        history.push(kind);
        const writes = write(round, replicas, written, history);
        await faults[kind]();
        await writes;
        await upstreamWrite(round, database, written, history);
      }
      for (const replica of replicas) await world.same(database, replica);
      const there = await database.revisions();
      const lost = written.filter((id) => !there.has(id));
      assert.deepEqual(lost, [], 'expected every document that was written anywhere to be upstream');
    } catch (err) {
      err.stack += `\nwhat was done: ${history.join(', ')}`;
      throw err;
    } finally {
      proxy.close();
    }
  },
}];

/** Each replica gets new documents, and an edit of one that all of them may be editing: a conflict. */
async function write(round, replicas, written, history) {
  for (const [i, replica] of replicas.entries()) {
    const ids = Array.from({ length: 1 + randomInt(8) }, (_, n) => `replica${i}-round${round}-${n}`);
    history.push(`${ids.length} in replica ${i}`);
    await replica.write(...ids.map((_id) => ({ _id, round })));
    written.push(...ids);
    await replica.edit('everyones', { by: i, round })
      .catch((err) => { if (err.status !== 409) throw err; }); // a replication was quicker
  }
}

async function upstreamWrite(round, database, written, history) {
  const ids = Array.from({ length: 1 + randomInt(8) }, (_, n) => `upstream-round${round}-${n}`);
  history.push(`${ids.length} upstream`);
  await database.write(...ids.map((_id) => ({ _id, round })));
  written.push(...ids);
}
