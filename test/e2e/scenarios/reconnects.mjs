/** Lost connections, killed bridges, restarted CouchDBs. */
import assert from 'node:assert/strict';
import { credentials } from '../lib/bridge.mjs';
import { TCPProxy } from '../lib/proxy.mjs';
import { until } from '../lib/wait.mjs';
import { plain } from './documents.mjs';

export default [
  ...['SIGTERM', 'SIGKILL'].map((signal) => ({
    name: `the bridge is ended with ${signal} and started again on the same port`,
    async run(world) {
      await world.isolate();
      const { database, replica, session } = await world.pair();
      await both(world, database, replica, 'before');
      await world.bridge.end(signal);
      await Promise.all([database.write(...plain('pulled-while-away', 50)), replica.write(...plain('pushed-while-away', 50))]);
      await database.edit('pushed-before', { edited: 'upstream' });
      await replica.edit('pulled-before', { edited: 'in the replica' });
      await world.bridge.resume();
      await session.connectedAgain(2);
      await world.same(database, replica);
      await both(world, database, replica, 'after');
    },
  })),
  {
    name: 'the bridge is killed in the middle of a first replication, three times',
    async run(world) {
      await world.isolate();
      const [database, replica] = [await world.database(), world.replica()];
      await Promise.all([database.write(...plain('pulled', 600)), replica.write(...plain('pushed', 600))]);
      const { session } = await world.pair({ database, replica });
      for (const [i, count] of [700, 850, 1000].entries()) {
        await until(`${replica.label} to have some more documents`, async () => {
          const { doc_count } = await replica.db.info();
          return doc_count >= count ? undefined : `it has ${doc_count} of ${count}`;
        });
        await world.bridge.end('SIGKILL');
        await world.bridge.resume();
        await session.connectedAgain(i + 2);
      }
      await world.same(database, replica);
    },
  },
  {
    name: 'the upstream restarts',
    async run(world) {
      await world.isolate({ upstream: true });
      const { database, replica } = await world.pair();
      await both(world, database, replica, 'before');
      const restore = await world.upstream.fail();
      await replica.write(...plain('while-away', 20));
      await restore();
      database.server = world.upstream.couch;
      await world.same(database, replica);
      await both(world, database, replica, 'after');
      assert.ok(world.bridge.alive, 'expected the bridge to survive a restart of its upstream');
    },
  },
  {
    name: 'the upstream is away when the client connects',
    async run(world) {
      await world.isolate({ upstream: true });
      const [database, replica] = [await world.database(), world.replica()];
      await Promise.all([database.write(...plain('pulled', 5)), replica.write(...plain('pushed', 5))]);
      const restore = await world.upstream.fail();
      const { session } = await world.pair({ database, replica });
      await session.connectedAgain(2);
      await restore();
      database.server = world.upstream.couch;
      await world.same(database, replica);
    },
  },
  {
    name: 'connections that are lost while nothing changes do not lead to a new scan of the database',
    async run(world) {
      const proxy = await TCPProxy.open(world.bridge.url);
      try {
        const [database, replica] = [await world.database(), world.replica()];
        await database.write(...plain('pulled', 150));
        const session = world.session(proxy.url);
        session.sync(replica, database.name, credentials('writer'));
        await session.connect();
        await both(world, database, replica, 'before');
        await checkpointed(world, database);

        const before = world.upstream.requests.length;
        for (let i = 2; i < 6; i++) {
          const mark = world.upstream.requests.length;
          proxy.cut();
          await session.connectedAgain(i);
          // Not for 'paused': a replication of an earlier connection, which the client never ends, may emit that too. A session
          // that goes live catches up with the feed that all share, and no client asks for pages of that size.
          await until(`the client to be live in ${database.label} after reconnect ${i - 1}`, () => {
            const paths = changesOf(world, database, mark);
            return paths.some((path) => /[?&]limit=500&/.test(path)) ? undefined : `it asked for ${JSON.stringify(paths)}`;
          });
        }
        await both(world, database, replica, 'after');
        const requests = changesOf(world, database, before);
        assert.ok(requests.length >= 4, `expected each reconnect to ask for changes, but the requests were ${JSON.stringify(requests)}`);
        const scans = requests.filter((path) => !/[?&]since=[^&0]/.test(path));
        assert.deepEqual(scans, [], `expected every request for changes of ${database.label} to start at a checkpoint`);
      } finally {
        proxy.close();
      }
    },
  },
];

/** One document each way, by their label. */
async function both(world, database, replica, label) {
  await Promise.all([database.write({ _id: `pulled-${label}` }), replica.write({ _id: `pushed-${label}` })]);
  await world.same(database, replica);
}

/** Paths of the requests for a database's changes, from that request on. */
function changesOf(world, database, from) {
  const path = `/${encodeURIComponent(database.name)}/_changes`;
  return world.upstream.requests.slice(from).map((request) => request.path).filter((p) => p.startsWith(path));
}

/** Waits until the pull's checkpoint has everything that is in the database. */
async function checkpointed(world, database) {
  await until(`a checkpoint in ${database.label} after its last change`, async () => {
    for (const id of checkpointIDs(world, database)) {
      const { status, text } = await database.server.request('GET', `/${encodeURIComponent(database.name)}/_local/${id}`);
      if (status !== 200) continue;
      const { last_seq: seq } = JSON.parse(text);
      if (typeof seq === 'string' && await isCurrent(database, seq)) return undefined;
    }
    return 'there is none';
  });
}

function checkpointIDs(world, database) {
  const path = `/${encodeURIComponent(database.name)}/_local/`;
  const puts = world.upstream.requests.filter((r) => r.method === 'PUT' && r.path.startsWith(path));
  return new Set(puts.map((request) => request.path.slice(path.length)));
}

async function isCurrent(database, seq) {
  const changes = await database.server.ask('GET', `/${encodeURIComponent(database.name)}/_changes?since=${encodeURIComponent(seq)}`);
  return changes.results.length === 0;
}
