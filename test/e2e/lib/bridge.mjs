/** `pouchbridge serve` with a policy file. */
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { freePort } from './port.mjs';
import { Program } from './process.mjs';

/** What every bridge of these tests grants, by token. A `*` does not match a slash. */
export const tokens = {
  /** Every database, under its own name. */
  writer: { token: 'writer-token', subject: 'writer', databases: [{ match: '*', design_docs: true }, { match: 'e2e/*' }] },
  /** Every database, to be read only. */
  reader: { token: 'reader-token', subject: 'reader', databases: [{ match: '*', read_only: true }] },
  /** Every database, but no design documents. */
  author: { token: 'author-token', subject: 'author', databases: [{ match: '*' }] },
  /** Databases under another name than upstream. */
  tenant: { token: 'tenant-token', subject: 'tenant', databases: [{ match: 'todos-*', database: 'e2e-*' }] },
};

/** The credentials for a token of the table above. */
export function credentials(holder) {
  return { token: tokens[holder].token };
}

export class Bridge {
  #directory;
  #program;
  #settings;

  /**
   * @param {string} couchdbURL
   * @param {object[]} [holders] what the policy file says about tokens
   */
  static async start(couchdbURL, holders = Object.values(tokens)) {
    return Bridge.startWith(couchdbURL, 'static', { STATIC_FILE: JSON.stringify({ tokens: holders }) });
  }

  /**
   * @param {string} couchdbURL
   * @param {string} policy
   * @param {Record<string, string>} settings of the policy, without the prefix; of one that ends in _FILE, the file's text
   */
  static async startWith(couchdbURL, policy, settings = {}) {
    const bridge = new Bridge();
    bridge.#directory = await fs.mkdtemp(path.join(os.tmpdir(), 'pouchbridge-policy-'));
    bridge.#settings = {
      POUCHBRIDGE_LISTEN: `127.0.0.1:${await freePort()}`,
      POUCHBRIDGE_POLICY: policy,
      POUCHBRIDGE_COUCHDB_URL: couchdbURL,
      POUCHBRIDGE_LOG_FORMAT: 'json',
      POUCHBRIDGE_LOG_LEVEL: 'debug',
    };
    for (const [name, value] of Object.entries(settings)) {
      bridge.#settings[`POUCHBRIDGE_${name}`] = name.endsWith('_FILE') ? await bridge.#file(name, value) : value;
    }
    await bridge.resume();
    return bridge;
  }

  async #file(name, text) {
    const file = path.join(this.#directory, name.toLowerCase());
    await fs.writeFile(file, text);
    return file;
  }

  get url() {
    return this.#program.url;
  }

  get alive() {
    return this.#program.alive;
  }

  get log() {
    return this.#program.log;
  }

  /** Starts it again, on the same port. */
  async resume() {
    this.#program = await Program.start('serve', this.#settings);
  }

  /** @param {'SIGTERM' | 'SIGKILL'} signal */
  async end(signal) {
    await (signal === 'SIGKILL' ? this.#program.kill() : this.#program.stop());
  }

  async close() {
    if (this.#program.alive) await this.#program.stop();
    await fs.rm(this.#directory, { recursive: true });
  }
}
