/** What a scenario has around it. */
import { randomBytes } from 'node:crypto';
import { Bridge, credentials } from './bridge.mjs';
import { converge } from './compare.mjs';
import { Replica } from './replica.mjs';
import { Session } from './session.mjs';
import { Upstream } from './upstream.mjs';
import { until } from './wait.mjs';

/** One upstream and one bridge, shared by all scenarios of a file. */
export class Stage {
  static async open() {
    const stage = new Stage();
    stage.upstream = await Upstream.open();
    try {
      stage.bridge = await Bridge.start(stage.upstream.url);
    } catch (err) {
      await stage.upstream.close();
      throw err;
    }
    return stage;
  }

  async close() {
    try {
      await this.bridge.close();
    } finally {
      await this.upstream.close();
    }
  }
}

/** One run of one scenario: it makes what the scenario asks for, and takes it away afterwards. */
export class World {
  #endings = [];
  #sessions = [];

  /** @param {Stage} stage @param {import('./clients.mjs').Client} client the version under test */
  constructor(stage, client) {
    this.stage = stage;
    this.client = client;
    this.bridge = stage.bridge;
    this.upstream = stage.upstream;
  }

  /** Gives the scenario a bridge of its own, and with `upstream` a CouchDB of its own, which it may take away. */
  async isolate({ upstream = false } = {}) {
    if (upstream) {
      this.upstream = await Upstream.open();
      this.#finally(() => this.upstream.close());
    }
    this.bridge = await Bridge.start(this.upstream.url);
    this.#finally(() => this.bridge.close());
  }

  /** Creates an upstream database with a name nobody else has. */
  async database(prefix = 'e2e-') {
    const name = prefix + randomBytes(8).toString('hex');
    const database = await this.upstream.couch.createDatabase(name);
    // Not through the upstream of this moment: it may have moved since.
    this.#finally(async () => { database.server = this.upstream.couch; await database.delete(); });
    return database;
  }

  /** An empty PouchDB in memory. */
  replica() {
    return new Replica(this.client);
  }

  /** A client that is not connected yet. */
  session(url = this.bridge.url) {
    const session = new Session(this.client, url);
    this.#sessions.push(session);
    return session;
  }

  /**
   * The usual case: one database, one replica, one connection, live both ways.
   * @returns {Promise<{database, replica, session, sync}>}
   */
  async pair({ database = undefined, replica = this.replica(), holder = 'writer' } = {}) {
    database ??= await this.database();
    const session = this.session();
    const sync = session.sync(replica, database.name, credentials(holder));
    await session.connect();
    return { database, replica, session, sync };
  }

  /** Waits until both sides have the same leaves, and compares them. See converge. */
  async same(database, replica, options) {
    await converge(database, replica, options);
  }

  /** Waits until a side has these documents, where both cannot become the same. */
  async has(side, ids) {
    await until(`${side.label} to have ${ids.join(', ')}`, async () => {
      const there = await side.revisions();
      const missing = ids.filter((id) => !there.has(id));
      return missing.length === 0 ? undefined : `${missing.join(', ')} did not arrive`;
    });
  }

  /** Runs when the scenario is over and its clients are ended, the last one first. */
  #finally(ending) {
    this.#endings.push(ending);
  }

  /** Takes everything away, the clients first. Fails if a sync had an error that the scenario did not wait for. */
  async close() {
    const failures = [];
    const sessions = this.#sessions.map((session) => () => session.close());
    for (const ending of [...sessions, ...this.#endings.reverse()]) {
      await ending().catch((err) => failures.push(err));
    }
    if (failures.length > 0) throw failures[0];
  }

  /** What the clients have seen so far, for a failure's message. */
  story() {
    return JSON.stringify(this.#sessions.map((session) => ({
      connects: session.connects,
      errors: session.errors.map(String),
      syncs: session.syncs.map(({ remoteName, errors, denied }) => ({ remoteName, errors: errors.map((e) => e.message), denied })),
    })));
  }
}
