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
    const bridge = new Bridge();
    bridge.#directory = await fs.mkdtemp(path.join(os.tmpdir(), 'pouchbridge-policy-'));
    const file = path.join(bridge.#directory, 'tokens.json');
    await fs.writeFile(file, JSON.stringify({ tokens: holders }));
    bridge.#settings = {
      POUCHBRIDGE_LISTEN: `127.0.0.1:${await freePort()}`,
      POUCHBRIDGE_POLICY: 'static',
      POUCHBRIDGE_STATIC_FILE: file,
      POUCHBRIDGE_COUCHDB_URL: couchdbURL,
      POUCHBRIDGE_LOG_FORMAT: 'json',
      POUCHBRIDGE_LOG_LEVEL: 'debug',
    };
    await bridge.resume();
    return bridge;
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
