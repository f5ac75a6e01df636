/** The published client with a record of everything it emits. */
import assert from 'node:assert/strict';
import { event, until } from './wait.mjs';

/** One client of pouch-websocket-sync: one websocket at a time, any number of syncs. */
export class Session {
  /** Errors of the connection. They are normal while a server is away. */
  errors = [];
  connected = false;
  /** How often it connected so far. */
  connects = 0;
  syncs = [];

  /** @param {import('./clients.mjs').Client} client @param {string} address ws://… */
  constructor(client, address) {
    this.address = address;
    this.emitter = client.createClient();
    this.emitter.on('error', (err) => this.errors.push(err));
    this.emitter.on('connect', () => { this.connected = true; this.connects++; });
    this.emitter.on('disconnect', () => { this.connected = false; });
  }

  /** To be called before connect: the client starts syncs only when it connects. */
  sync(replica, remoteName, credentials) {
    const sync = new Sync(this.emitter.sync(replica.db, { remoteName, credentials }), remoteName);
    this.syncs.push(sync);
    return sync;
  }

  async connect() {
    const connected = event(this.emitter, 'connect', `the client to connect to ${this.address}`);
    this.emitter.connect(this.address);
    await connected;
  }

  /** Waits until it has connected that many times in all. */
  async connectedAgain(times) {
    await until(`the client to connect ${times} times to ${this.address}`, () => (
      this.connected && this.connects >= times ? undefined : `it connected ${this.connects} times; errors: ${this.errors.join(', ')}`
    ));
  }

  /** Ends it. Fails if a sync emitted an error that nobody waited for. */
  async close() {
    try {
      this.syncs.forEach((sync) => sync.check());
    } finally {
      await this.end();
    }
  }

  /** Ends it for good, and waits for the websocket to be closed. */
  async end() {
    const closed = this.connected && event(this.emitter, 'disconnect', `the client to disconnect from ${this.address}`);
    this.emitter.end();
    await closed;
  }
}

/** One sync of a session, with what it emitted. */
export class Sync {
  errors = [];
  denied = [];
  #expectsErrors = false;

  constructor(emitter, remoteName) {
    this.emitter = emitter;
    this.remoteName = remoteName;
    emitter.on('error', (err) => this.errors.push(err));
    emitter.on('denied', (denial) => this.denied.push(denial));
  }

  cancel() {
    this.emitter.cancel();
  }

  /** Waits for the sync's error. */
  async error() {
    this.#expectsErrors = true;
    await until(`the sync of ${this.remoteName} to emit 'error'`, () => (this.errors.length > 0 ? undefined : 'none came'));
    return this.errors[0];
  }

  /** Waits for that many refused documents. */
  async denials(count) {
    await until(`the sync of ${this.remoteName} to emit 'denied' ${count} times`, () => (
      this.denied.length >= count ? undefined : `it came ${this.denied.length} times; errors: ${JSON.stringify(this.errors)}`
    ));
    return this.denied;
  }

  /** Fails if it emitted an error nobody waited for. */
  check() {
    if (this.#expectsErrors) return;
    const messages = this.errors.map((err) => err.stack ?? JSON.stringify(err));
    assert.deepEqual(messages, [], `expected no 'error' from the sync of ${this.remoteName}`);
  }
}
