/** Who may have which database: policies as real clients meet them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { Bridge, credentials } from './lib/bridge.mjs';
import { Client } from './lib/clients.mjs';
import { Upstream } from './lib/upstream.mjs';
import { until } from './lib/wait.mjs';
import { World } from './lib/world.mjs';

const seed = new URL('./fixtures/documented-server.js', import.meta.url);

const onlyOnesOwn = `function (doc, old, user) {
  if (user.roles.indexOf('_admin') < 0 && doc.author !== user.name) throw({ forbidden: 'you are ' + user.name });
}`;

async function seedServer() {
  return { SCRIPT_FILE: await fs.readFile(seed, 'utf8') };
}

const perUser = `
function onRequest(credentials, dbName, cb) {
  cb(null, new PouchDB('e2e-user-' + credentials.user, {
    create: { security: { admins: { names: [], roles: ['_admin'] }, members: { names: [credentials.user], roles: [] } } },
    subject: credentials.user
  }));
}
`;

const tokens = async () => ({
  STATIC_FILE: JSON.stringify({ tokens: [{ token: credentials('reader').token, databases: [{ match: '*', read_only: true }] }] }),
});

for (const version of ['5.4.5', '9.0.0']) {
  describe(`policies, with PouchDB ${version}`, { concurrency: 3 }, () => {
    const client = new Client(version);
    let upstream;
    before(async () => { upstream = await Upstream.open({ admin: 'root:s3cret' }); });
    after(() => upstream.close());

    /** A test with a bridge of that policy. */
    function policy(name, kind, settings, run) {
      it(name, { timeout: 180_000 }, async () => {
        const bridge = await Bridge.startWith(upstream.url, kind, typeof settings === 'function' ? await settings() : settings);
        const world = new World({ bridge, upstream }, client);
        try {
          await run(world);
        } catch (err) {
          err.stack += `\nwhat the clients saw: ${world.story()}\nlast lines of the bridge's log:\n${bridge.log.slice(-20).join('\n')}`;
          throw err;
        } finally {
          try {
            await world.close();
          } finally {
            await bridge.close();
          }
        }
      });
    }

    policy('couchdb: a member replicates as themself; a stranger and a wrong password are refused', 'couchdb', {}, async (world) => {
      const [member, stranger] = [await user(world.upstream), await user(world.upstream)];
      try {
        const database = await world.database();
        await database.write({ _id: '_design/rules', validate_doc_update: onlyOnesOwn }, { _id: 'pulled', author: 'somebody' });
        await database.server.ask('PUT', `/${encodeURIComponent(database.name)}/_security`, {
          admins: { names: [], roles: ['_admin'] }, members: { names: [member.name], roles: [] },
        });
        const session = world.session();
        const replica = world.replica();
        const refused = [
          [session.sync(world.replica(), database.name, stranger), /not allowed to access this db/],
          [session.sync(world.replica(), database.name, { ...member, password: 'wrong' }), /incorrect|wrong|not accepted/i],
          [session.sync(world.replica(), database.name, { token: 'no-such-thing' }), /./],
          [session.sync(world.replica(), '_users', member), /./],
        ];
        const sync = session.sync(replica, database.name, member);
        await session.connect();
        for (const [one, message] of refused) {
          const error = await one.error();
          assert.match(error.message, message, `expected the sync of ${one.remoteName} to be refused in words`);
        }
        await replica.write({ _id: 'mine', author: member.name }, { _id: 'forged', author: stranger.name });
        const [denial] = await sync.denials(1);
        assert.equal(denial.doc.id, 'forged', "expected the 'denied' event to name the document");
        assert.equal(denial.doc.message, `you are ${member.name}`, 'expected validate_doc_update to see the user');
        await world.has(database, ['mine', 'pulled']);
        await world.has(replica, ['mine', 'pulled']);
      } finally {
        await Promise.all([member.remove(), stranger.remove()]);
      }
    });

    policy('a read-only client keeps its checkpoints: a second sync transfers nothing again', 'static', tokens, async (world) => {
      const database = await world.database();
      await database.write(...Array.from({ length: 120 }, (_, i) => ({ _id: `doc-${i}` })));
      const { replica, session } = await world.pair({ database, holder: 'reader' });
      await world.same(database, replica);
      await checkpoint(world, database);
      await session.end();

      const from = world.upstream.requests.length;
      const again = await world.pair({ database, replica, holder: 'reader' });
      await database.write({ _id: 'later' });
      await world.same(database, replica);
      const path = `/${encodeURIComponent(database.name)}/`;
      const asked = world.upstream.requests.slice(from).map((r) => r.path).filter((p) => p.startsWith(path));
      const scans = asked.filter((p) => p.includes('/_changes') && !/[?&]since=[^&0]/.test(p));
      assert.deepEqual(scans, [], 'expected the second sync to go on from its checkpoint');
      const fetched = asked.filter((p) => p.includes('/_bulk_get') || p.includes('/_all_docs'));
      assert.ok(fetched.length <= 2, `expected only the new document to be fetched, but the requests were ${JSON.stringify(fetched)}`);
      assert.deepEqual(again.session.errors, []);
    });

    policy('script: the server of the original moves over as it stands', 'script', seedServer, async (world) => {
      const database = await world.database();
      const session = world.session();
      const replica = world.replica();
      const refused = session.sync(world.replica(), database.name, { token: 'another token' });
      session.sync(replica, database.name, { token: 'some\u00a0token' }); // as the page has it: its spaces do not break
      await session.connect();
      assert.equal((await refused.error()).message, 'not\u00a0allowed', "expected the function's own message");
      await Promise.all([database.write({ _id: 'pulled' }), replica.write({ _id: 'pushed' })]);
      await world.same(database, replica);
    });

    policy('script: a database for each user, made with its security when it is missing', 'script', { SCRIPT_FILE: perUser }, async (world) => {
      const who = `u${randomBytes(6).toString('hex')}`;
      const name = `e2e-user-${who}`;
      const session = world.session();
      const replica = world.replica();
      session.sync(replica, 'mine', { user: who });
      await session.connect();
      await replica.write({ _id: 'first' });
      const server = world.upstream.couch;
      try {
        await world.has({ label: name, revisions: async () => revisions(server, name) }, ['first']);
        const security = await server.ask('GET', `/${name}/_security`);
        assert.deepEqual(security.members.names, [who], "expected the database to be its user's alone");
        await session.end();
      } finally {
        await server.ask('DELETE', `/${name}`);
      }
    });
  });
}

/** A user of CouchDB, as credentials for the policy couchdb. */
async function user(upstream) {
  const name = `e2e${randomBytes(6).toString('hex')}`;
  const path = `/_users/org.couchdb.user:${name}`;
  const { rev } = await upstream.couch.ask('PUT', path, { name, password: 'pw', type: 'user', roles: [] });
  const holder = { name, password: 'pw' };
  // Not enumerable: it must not become part of the credentials.
  return Object.defineProperty(holder, 'remove', { value: () => upstream.couch.ask('DELETE', `${path}?rev=${rev}`) });
}

/**
 * Waits until both replications have written a checkpoint at their end: the pull's has a sequence of the database, a string, and
 * the push's one of the replica, a number, which is as high as that has taken one change for each.
 */
async function checkpoint(world, database) {
  const path = `/${encodeURIComponent(database.name)}/_local/`;
  const newest = (await database.info()).update_seq.split('-')[0];
  await until(`checkpoints of pull and push at ${newest} in ${database.label}`, async () => {
    const paths = new Set(world.upstream.requests.filter((r) => r.method === 'PUT' && r.path.startsWith(path)).map((r) => r.path));
    const at = new Set();
    for (const p of paths) {
      const { last_seq: seq } = JSON.parse((await database.server.request('GET', p)).text);
      if (String(seq ?? '').split('-')[0] === newest) at.add(typeof seq);
    }
    return at.size === 2 ? undefined : `of ${paths.size} checkpoints ${[...at].join()} are there`;
  });
}

async function revisions(server, name) {
  const { status, text } = await server.request('GET', `/${name}/_all_docs`);
  return status === 200 ? new Set(JSON.parse(text).rows.map((row) => row.id)) : new Set();
}
