/** The published clients: pouch-websocket-sync 0.3.0 with one version of PouchDB each. */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../clients/', import.meta.url));

/** Every version that is tested, oldest first. */
export const versions = ['5.3.2', '5.4.5', '6.4.3', '7.3.1', '8.0.1', '9.0.0'];

// PouchDB 7 to 9 say this each time the client's remote adapter is made. It would bury what the tests say.
const warn = console.warn;
console.warn = (...args) => {
  if (!String(args[0]).startsWith('db.type() is deprecated')) warn(...args);
};

/** One installed client. */
export class Client {
  /** @param {string} version of PouchDB */
  constructor(version) {
    this.version = version;
    this.directory = path.join(ROOT, version);
    if (!fs.existsSync(path.join(this.directory, 'node_modules'))) {
      throw new Error(`${this.directory} is not installed: run \`npm ci\` there, or start the tests with \`node test/e2e/run.mjs\``);
    }
    this.require = createRequire(path.join(this.directory, 'package.json'));
    this.PouchDB = this.require('pouchdb');
    this.createClient = this.require('pouch-websocket-sync').createClient;
    if (!this.oldConstructor) this.PouchDB.plugin(this.require('pouchdb-adapter-memory'));
  }

  get major() {
    return Number(this.version.split('.')[0]);
  }

  /** PouchDB 5 takes a storage engine where later ones take an adapter. */
  get oldConstructor() {
    return this.major === 5;
  }

  /** From 5.4 on, fetching an attachment calls a method that the client's remote adapter does not have. */
  get pullsAttachments() {
    return this.version === '5.3.2';
  }

  /** PouchDB 5 reads a first revision that it is to send as if it were the winning one. */
  get pushesLosingFirstRevisions() {
    return this.major > 5;
  }

  /** PouchDB 5 keeps documents to be sent in a plain object, by id. */
  get pushesNamesOfObjectMembers() {
    return this.major > 5;
  }

  /** A database in memory. */
  open(name) {
    return this.oldConstructor
      ? new this.PouchDB({ name, db: this.require('memdown') })
      : new this.PouchDB(name, { adapter: 'memory' });
  }
}
