/** What a policy or a database refuses, and what goes on nevertheless. */
import assert from 'node:assert/strict';
import { credentials } from '../lib/bridge.mjs';

export default [
  {
    name: "a denied request is the sync's error, with the policy's message; other syncs of the connection go on",
    async run(world) {
      const session = world.session();
      const [database, replica] = [await world.database(), world.replica()];
      const refused = [
        [session.sync(world.replica(), database.name, { token: 'wrong' }), 'unknown token'],
        [session.sync(world.replica(), database.name, undefined), 'a token is required: send the credentials {"token": "…"}'],
        [session.sync(world.replica(), '_users', credentials('writer')), 'this token does not open the database asked for'],
        [session.sync(world.replica(), database.name, credentials('tenant')), 'this token does not open the database asked for'],
      ];
      session.sync(replica, database.name, credentials('writer'));
      await session.connect();
      for (const [sync, message] of refused) {
        const { message: actual } = await sync.error();
        assert.equal(actual, message, `expected the sync of ${sync.remoteName} to be refused with the policy's message`);
      }
      await Promise.all([database.write({ _id: 'pulled' }), replica.write({ _id: 'pushed' })]);
      await world.same(database, replica);
      assert.equal(session.connects, 1, 'expected a refusal to leave the connection open');
    },
  },
  {
    name: "a refusal of validate_doc_update is 'denied', and the sync goes on",
    async run(world) {
      const database = await world.database();
      await database.write({ _id: '_design/rules', validate_doc_update: rules });
      const { replica, sync } = await world.pair({ database });
      await replica.write({ _id: 'good-1' }, { _id: 'bad', refuse: 'forbidden' }, { _id: 'worse', refuse: 'unauthorized' }, { _id: 'good-2' });
      const denials = await sync.denials(2);
      for (const [id, name, message] of [['bad', 'forbidden', 'not this one'], ['worse', 'unauthorized', 'not from you']]) {
        const denial = denials.find((d) => d.doc.id === id);
        assert.ok(denial, `expected a 'denied' event for ${id}, but they were ${JSON.stringify(denials)}`);
        assert.equal(denial.direction, 'push', `expected the 'denied' event for ${id} to say its direction`);
        assert.equal(denial.doc.name, name, `expected the 'denied' event for ${id} to have CouchDB's error`);
        assert.equal(denial.doc.message, message, `expected the 'denied' event for ${id} to have CouchDB's reason`);
      }
      await Promise.all([database.write({ _id: 'pulled' }), replica.write({ _id: 'pushed' })]);
      await world.has(database, ['good-1', 'good-2', 'pushed']);
      await world.has(replica, ['pulled', '_design/rules']);
      const ids = [...(await database.revisions()).keys()].sort();
      assert.deepEqual(ids, ['_design/rules', 'good-1', 'good-2', 'pulled', 'pushed'], `expected the refused documents not to be in ${database.label}`);
    },
  },
  {
    name: "a read-only grant pulls, and its pushes are 'denied'",
    async run(world) {
      const database = await world.database();
      await database.write({ _id: 'pulled' });
      const { replica, sync } = await world.pair({ database, holder: 'reader' });
      await world.same(database, replica);
      await replica.write({ _id: 'pushed' });
      const [denial] = await sync.denials(1);
      assert.equal(denial.doc.id, 'pushed', "expected the 'denied' event to name the document");
      assert.equal(denial.doc.name, 'forbidden', "expected the 'denied' event to say forbidden");
      await database.write({ _id: 'pulled later' });
      await world.has(replica, ['pulled', 'pulled later']);
      assert.equal(await database.read('pushed'), undefined, `expected nothing to be written to ${database.label}`);
    },
  },
  {
    name: "a grant without design documents has their pushes 'denied', and pulls them",
    async run(world) {
      const database = await world.database();
      await database.write({ _id: '_design/pulled', views: {} });
      const { replica, sync } = await world.pair({ database, holder: 'author' });
      await replica.write({ _id: '_design/pushed', views: {} }, { _id: 'pushed' });
      const [denial] = await sync.denials(1);
      assert.equal(denial.doc.id, '_design/pushed', "expected the 'denied' event to name the document");
      await world.has(database, ['pushed']);
      await world.has(replica, ['_design/pulled']);
      assert.equal(await database.read('_design/pushed'), undefined, `expected no design document to be written to ${database.label}`);
    },
  },
  {
    name: "a database that does not exist upstream is the sync's error; other syncs of the connection go on",
    async run(world) {
      const session = world.session();
      const [database, replica] = [await world.database(), world.replica()];
      const missing = session.sync(world.replica(), `${database.name}-missing`, credentials('writer'));
      session.sync(replica, database.name, credentials('writer'));
      await session.connect();
      const { message, status } = await missing.error();
      assert.ok(message || status === 404, `expected the sync's error to say what is wrong, but its message is "${message}" and its status ${status}`);
      await Promise.all([database.write({ _id: 'pulled' }), replica.write({ _id: 'pushed' })]);
      await world.same(database, replica);
    },
  },
];

const rules = `function (doc) {
  if (doc.refuse === 'forbidden') throw({forbidden: 'not this one'});
  if (doc.refuse === 'unauthorized') throw({unauthorized: 'not from you'});
}`;
