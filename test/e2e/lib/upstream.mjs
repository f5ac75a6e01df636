/** The CouchDB behind the bridge: the one at COUCHDB_URL, or the embedded store in a process of its own. */
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { CouchDB } from './couchdb.mjs';
import { Program } from './process.mjs';
import { TCPProxy } from './proxy.mjs';

/** A CouchDB that this process did not start. */
class External {
  constructor(url) {
    this.url = url;
  }

  /** Nothing to be done: its connections are cut, and that is all a bridge sees of its restart. */
  async stop() {}
  async start() {}
  async close() {}
}

/** `pouchbridge dev`, of which only the store is used. Its data survives stop and start. */
class Embedded {
  #admin;
  #directory;
  #program;

  /** @param {string} [admin] name:password of its administrator; without one everybody is */
  static async open(admin) {
    const store = new Embedded();
    store.#admin = admin;
    store.#directory = await fs.mkdtemp(path.join(os.tmpdir(), 'pouchbridge-store-'));
    await store.start();
    return store;
  }

  async start() {
    this.#program = await Program.start('dev', {
      POUCHBRIDGE_LISTEN: '127.0.0.1:0',
      POUCHBRIDGE_DEV_DIR: this.#directory,
      POUCHBRIDGE_LOG_FORMAT: 'json',
      ...this.#admin && { POUCHBRIDGE_DEV_ADMIN: this.#admin },
    });
    this.url = this.#program.couchdbURL.replace('://', this.#admin ? `://${this.#admin}@` : '://');
  }

  /** As a crash would: nothing is flushed. */
  stop() {
    return this.#program.kill();
  }

  async close() {
    await this.#program.stop();
    await fs.rm(this.#directory, { recursive: true });
  }
}

/** The upstream as a bridge sees it: through a proxy, which can take it away and tells what was asked. */
export class Upstream {
  /** @param {{admin?: string}} [options] name:password of the embedded store's administrator */
  static async open({ admin } = {}) {
    const upstream = new Upstream();
    upstream.#store = process.env.COUCHDB_URL ? new External(process.env.COUCHDB_URL) : await Embedded.open(admin);
    upstream.#proxy = await TCPProxy.open(upstream.#store.url);
    return upstream;
  }

  #proxy;
  #store;

  /** The URL for a bridge. */
  get url() {
    return this.#proxy.url;
  }

  /** Direct access, past the proxy. */
  get couch() {
    return new CouchDB(this.#store.url);
  }

  /** Direct URL, past the proxy. */
  get directURL() {
    return this.#store.url;
  }

  /** Requests that bridges have made, {method, path}. */
  get requests() {
    return this.#proxy.requests;
  }

  /**
   * Takes the upstream away: open connections are reset, new ones refused, the embedded store is killed.
   * @returns {Promise<() => Promise<void>>} brings it back under the same URL, with the same data
   */
  async fail() {
    this.#proxy.refuse();
    this.#proxy.cut();
    await this.#store.stop();
    return async () => {
      await this.#store.start();
      this.#proxy.retarget(this.#store.url);
      await this.#proxy.accept();
    };
  }

  async close() {
    this.#proxy.close();
    await this.#store.close();
  }
}
