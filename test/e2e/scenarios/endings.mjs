/** Ending a sync, and ending a client. */
import assert from 'node:assert/strict';
import { credentials } from '../lib/bridge.mjs';
import { TCPProxy } from '../lib/proxy.mjs';

export default [
  {
    name: 'after cancel nothing more arrives, either way; other syncs of the connection go on',
    async run(world) {
      const database = await world.database();
      const [canceled, witness] = [world.replica(), world.replica()];
      const session = world.session();
      const sync = session.sync(canceled, database.name, credentials('writer'));
      session.sync(witness, database.name, credentials('writer'));
      await session.connect();
      await database.write({ _id: 'before' });
      for (const replica of [canceled, witness]) await world.same(database, replica);

      sync.cancel();
      const kept = [...(await canceled.revisions()).keys()];
      await canceled.write({ _id: 'not to be pushed' });
      // What the witness gets after it would have been sent to both, in this order.
      for (let i = 0; i < 10; i++) {
        await database.write({ _id: `pulled-${i}` });
        await witness.write({ _id: `pushed-${i}` });
        await world.same(database, witness);
      }
      const ids = [...(await canceled.revisions()).keys()].filter((id) => id !== 'not to be pushed');
      assert.deepEqual(ids, kept, 'expected nothing to arrive in a replica after its sync was cancelled');
      assert.equal(await database.read('not to be pushed'), undefined, 'expected nothing to be pushed after the sync was cancelled');
    },
  },
  {
    name: 'after end the client is disconnected and does not connect again',
    async run(world) {
      const proxy = await TCPProxy.open(world.bridge.url);
      try {
        const database = await world.database();
        const sessions = [world.session(proxy.url), world.session(proxy.url)];
        const replicas = [world.replica(), world.replica()];
        for (const i of [0, 1]) {
          sessions[i].sync(replicas[i], database.name, credentials('writer'));
          await sessions[i].connect();
        }
        await database.write({ _id: 'before' });
        for (const replica of replicas) await world.same(database, replica);

        await sessions[0].end();
        assert.deepEqual(sessions[0].errors, [], 'expected the client to end without an error');
        // The other one loses its connection later and is back after the delay that both have.
        proxy.cut();
        await sessions[1].connectedAgain(2);
        await database.write({ _id: 'after' });
        await world.same(database, replicas[1]);
        assert.equal(proxy.accepted, 3, 'expected three connections: one of each client, and one more of the one that was not ended');
        assert.equal(await replicas[0].read('after'), undefined, 'expected nothing to arrive in a replica after its client was ended');
      } finally {
        proxy.close();
      }
    },
  },
];
