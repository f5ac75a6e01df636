/** What no published client sends: calls that are not for clients, and lines that are wrong. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { credentials } from './lib/bridge.mjs';
import { Client } from './lib/clients.mjs';
import { RawClient, unique } from './lib/raw.mjs';
import { Stage, World } from './lib/world.mjs';

const opened = { opts: { writable: true, readable: true } };

describe('a client that speaks the protocol line by line', { concurrency: 4 }, () => {
  const client = new Client('9.0.0');
  let stage;
  before(async () => { stage = await Stage.open(); });
  after(() => stage.close());

  /** A test with two connections of its own, and a real client beside them that must not notice anything. */
  function raw(name, run) {
    it(name, { timeout: 180_000 }, async () => {
      const world = new World(stage, client);
      const connections = [];
      try {
        const { database, replica, session } = await world.pair();
        const connect = async () => {
          connections.push(await RawClient.connect(client, world.bridge.url));
          return connections.at(-1);
        };
        await run({ world, database, connect });
        await Promise.all([database.write({ _id: 'pulled' }), replica.write({ _id: 'pushed' })]);
        await world.same(database, replica);
        assert.equal(session.connects, 1, 'expected the connection of another client to stay');
        assert.ok(stage.bridge.alive, 'expected the bridge to go on');
      } finally {
        for (const connection of connections) await connection.close();
        await world.close();
      }
    });
  }

  for (const method of ['destroy', 'close', 'compact', 'sync', 'replicate', 'bulkGet', 'put', 'query', '__proto__', 'constructor', '']) {
    raw(`the method "${method}" is refused, and its channel goes on`, async ({ database, connect }) => {
      await database.write({ _id: 'doc' });
      const channel = await (await connect()).open(database.name, credentials('writer'));
      const [err, result] = JSON.parse(await channel.ask(method, '["doc"]'));
      assert.ok(err?.message, `expected an error with a message, but it was ${JSON.stringify(err)}`);
      assert.equal(result ?? null, null, 'expected no result');
      await answers(channel, 'doc');
      assert.ok(await database.read('doc'), `expected ${database.label} to be as it was`);
    });
  }

  raw('a call that is not an array ends its channel, the other channels of the connection go on', async ({ database, connect }) => {
    await database.write({ _id: 'doc' });
    const connection = await connect();
    const [wrong, right] = [await connection.open(database.name, credentials('writer')), await connection.open(database.name, credentials('writer'))];
    connection.line([wrong.stream, 'data', 'not an array']);
    await connection.first('the channel to be closed', ([stream, kind]) => stream === wrong.stream && kind === 'close');
    await answers(right, 'doc');
  });

  const ignored = {
    'an event of an unknown stream': [unique(), 'data', [0, null, '_info', []]],
    'an end of an unknown stream': [unique(), 'end'],
    'a pause of an unknown stream': [unique(), 'pause'],
    'an error without a reason': [unique(), 'error', null],
    'a stream id that is not a string': [7, 'new', opened],
    'a stream of an unknown name': [unique(), 'new', { ...opened, meta: 'nobody waits for this' }],
    'an empty array': [],
  };
  for (const [what, line] of Object.entries(ignored)) {
    raw(`${what} is ignored`, async ({ database, connect }) => {
      await database.write({ _id: 'doc' });
      const connection = await connect();
      const channel = await connection.open(database.name, credentials('writer'));
      connection.line(line);
      await answers(channel, 'doc');
    });
  }

  const survived = {
    'a stream without options': (id) => [[id, 'new']],
    'a stream with empty options': (id) => [[id, 'new', {}]],
    'a request that is null': (id) => [[id, 'new', opened], [id, 'data', null]],
    'a request that is a number': (id) => [[id, 'new', opened], [id, 'data', 7]],
    'a request without a database': (id) => [[id, 'new', opened], [id, 'data', {}]],
    'a database name that is not a string': (id) => [[id, 'new', opened], [id, 'data', { database: { $ne: 1 } }]],
    'a stream that is opened twice': (id) => [[id, 'new', opened], [id, 'new', opened]],
    'a stream that is closed before its answer': (id) => [[id, 'new', opened], [id, 'data', { database: 'x' }], [id, 'close']],
    'an object in place of an array': () => [{ not: 'an array' }],
    'a string in place of an array': () => ['not an array'],
    null: () => [null],
    'bytes that are not UTF-8': () => [Buffer.from('["\xff\xfe","new"]\n', 'latin1')],
  };
  for (const [what, lines] of Object.entries(survived)) {
    raw(`${what} harms no other connection`, async ({ database, connect }) => {
      await database.write({ _id: 'doc' });
      const [wrong, right] = [await connect(), await connect()];
      const channel = await right.open(database.name, credentials('writer'));
      for (const line of lines(unique())) {
        if (Buffer.isBuffer(line)) wrong.send(line);
        else wrong.line(line);
      }
      await answers(channel, 'doc');
      // The bridge has dealt with the lines when it goes on or has closed the connection with a reason.
      if (await goesOn(wrong, database)) return;
      assert.ok([1007, 1008, 1011].includes(wrong.closed.code), `expected a close code that says why, but it is ${wrong.closed.code}`);
      assert.ok(wrong.closed.reason, 'expected the close to have a reason');
    });
  }

  const closing = {
    'a line that is not JSON': 'not JSON\n',
    'an empty line': '\n',
    'a line that is cut off': '["a","new",\n',
  };
  for (const [what, message] of Object.entries(closing)) {
    raw(`${what} closes its connection with a reason`, async ({ database, connect }) => {
      await database.write({ _id: 'doc' });
      const [wrong, right] = [await connect(), await connect()];
      const channel = await right.open(database.name, credentials('writer'));
      wrong.send(message);
      const { code, reason } = await wrong.closing('the bridge to close the connection');
      assert.ok([1007, 1008].includes(code), `expected the close code 1007 or 1008, but it is ${code}`);
      assert.ok(reason, 'expected the close to have a reason');
      await answers(channel, 'doc');
    });
  }

  raw('lines may come many in one message, cut over messages, in text and in binary', async ({ database, connect }) => {
    await database.write({ _id: 'naïve 😀' });
    const connection = await connect();
    const channel = await connection.open(database.name, credentials('writer'));
    const call = (seq) => Buffer.from(`["${channel.stream}","data",[${seq},null,"allDocs",[{"keys":["naïve 😀"]}]]]\n`);
    connection.send(Buffer.concat([call(1000), call(1001), call(1002)]));
    for (const byte of call(1003)) connection.send(Buffer.from([byte]));
    connection.send(call(1004).toString() + call(1005).toString());
    for (let seq = 1000; seq <= 1005; seq++) {
      const { text } = await connection.first(`an answer to call ${seq}`, ([stream, kind, data]) => stream === channel.stream && kind === 'data' && data[0] === seq);
      assert.ok(text.includes('"id":"naïve 😀"'), `expected the document in the answer to call ${seq}, but it is ${text}`);
    }
  });

  raw('a channel that is closed ends its feed', async ({ world, database, connect }) => {
    const connection = await connect();
    const [closed, open] = [await connection.open(database.name, credentials('writer')), await connection.open(database.name, credentials('writer'))];
    for (const channel of [closed, open]) await channel.ask('_changes', '[0,{"since":0,"live":true,"continuous":true,"style":"all_docs"}]');
    await database.write({ _id: 'before' });
    for (const channel of [closed, open]) await change(connection, channel, 'before');
    connection.line([closed.stream, 'close']);
    await connection.first('an answer to the close', ([stream, kind]) => stream === closed.stream && kind === 'close');
    const sent = connection.lines.length;
    await database.write({ _id: 'after' });
    await change(connection, open, 'after');
    const late = connection.lines.slice(sent).filter(({ value: [stream] }) => stream === closed.stream);
    assert.deepEqual(late, [], 'expected nothing more on a channel that was closed');
    assert.ok(world.bridge.alive, 'expected the bridge to go on');
  });

  raw('a paused channel gets nothing until it is resumed', async ({ database, connect }) => {
    const connection = await connect();
    const [paused, open] = [await connection.open(database.name, credentials('writer')), await connection.open(database.name, credentials('writer'))];
    for (const channel of [paused, open]) await channel.ask('_changes', '[0,{"since":0,"live":true,"continuous":true,"style":"all_docs"}]');
    connection.line([paused.stream, 'pause']);
    await answers(open, '_design/none'); // by now the bridge has read the pause
    const sent = connection.lines.length;
    await database.write(...Array.from({ length: 50 }, (_, i) => ({ _id: `doc-${i}` })));
    await change(connection, open, 'doc-49');
    const early = connection.lines.slice(sent).filter(({ value: [stream] }) => stream === paused.stream);
    assert.ok(early.length <= 1, `expected at most one line on a paused channel, but there were ${early.length}`);
    connection.line([paused.stream, 'resume']);
    for (let i = 0; i < 50; i++) await change(connection, paused, `doc-${i}`);
  });
});

/** Fails unless a call on the channel is answered. */
async function answers(channel, id) {
  const [err, result] = JSON.parse(await channel.ask('allDocs', JSON.stringify([{ keys: [id] }])));
  assert.equal(err, null, 'expected the channel to answer calls');
  assert.equal(result.rows.length, 1, 'expected the channel to answer with one row');
}

/** Whether a connection still opens databases; false once it is closed. */
async function goesOn(connection, database) {
  const channel = await Promise.race([
    connection.open(database.name, credentials('writer')).catch((err) => {
      if (connection.closed) return undefined;
      throw err;
    }),
    connection.closing('the connection to go on or to be closed').then(() => undefined),
  ]);
  return channel !== undefined;
}

/** Waits for a document's change event. */
function change(connection, channel, id) {
  return connection.first(`a change of ${id}`, ([stream, kind, data]) => (
    stream === channel.stream && kind === 'data' && data[0] === '_event' && data[1] === 'change' && data[2][1].id === id
  ));
}
