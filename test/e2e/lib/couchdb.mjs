/** Plain HTTP access to the CouchDB behind the bridge, past the bridge. */
import assert from 'node:assert/strict';

const BATCH = 250; // documents a request

/** A server. */
export class CouchDB {
  #base;
  #headers = {};

  /** @param {string} url http://[user:password@]host:port */
  constructor(url) {
    const { origin, username, password, pathname } = new URL(url);
    this.#base = origin + pathname.replace(/\/$/, '');
    if (!username) return;
    const account = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    this.#headers.authorization = `Basic ${Buffer.from(account).toString('base64')}`;
  }

  /** @param {string | undefined} body JSON text @returns {Promise<{status: number, text: string}>} */
  async request(method, path, body) {
    const answer = await fetch(this.#base + path, {
      method,
      body,
      headers: { accept: 'application/json', 'content-type': 'application/json', ...this.#headers },
    });
    return { status: answer.status, text: await answer.text() };
  }

  /** Like request, but the answer must be a success and is parsed. */
  async ask(method, path, value) {
    const { status, text } = await this.request(method, path, value === undefined ? undefined : JSON.stringify(value));
    assert.ok(status < 300, `expected CouchDB to carry out ${method} ${path}, but it answered ${status} ${text}`);
    return JSON.parse(text);
  }

  async createDatabase(name) {
    await this.ask('PUT', `/${encodeURIComponent(name)}`);
    return new Database(this, name);
  }
}

/** A database. Document ids travel in bodies where they can: a URL with `..` in it would be changed on its way. */
export class Database {
  /** @param {CouchDB} server @param {string} name */
  constructor(server, name) {
    this.server = server;
    this.name = name;
  }

  get label() {
    return `upstream database ${this.name}`;
  }

  #path(rest = '') {
    return `/${encodeURIComponent(this.name)}${rest}`;
  }

  delete() {
    return this.server.ask('DELETE', this.#path());
  }

  info() {
    return this.server.ask('GET', this.#path());
  }

  /** Writes new revisions; every one must be accepted. @returns {Promise<string[]>} their revisions, in order */
  async write(...docs) {
    const revs = [];
    for (let i = 0; i < docs.length; i += BATCH) {
      for (const row of await this.server.ask('POST', this.#path('/_bulk_docs'), { docs: docs.slice(i, i + BATCH) })) {
        assert.ok(row.ok, `expected ${this.label} to accept the write of ${row.id}, but it answered ${JSON.stringify(row)}`);
        revs.push(row.rev);
      }
    }
    return revs;
  }

  /** Writes given revisions, as a replicator does. */
  async graft(...docs) {
    const failed = await this.server.ask('POST', this.#path('/_bulk_docs'), { docs, new_edits: false });
    assert.deepEqual(failed, [], `expected ${this.label} to accept all revisions`);
  }

  /** The winning revision, or undefined. */
  async read(id, query = '') {
    const { status, text } = await this.request('GET', id, query);
    if (status === 404) return undefined;
    assert.equal(status, 200, `expected ${this.label} to have ${id}, but it answered ${status} ${text}`);
    return JSON.parse(text);
  }

  /** A request for one document, with the answer's text untouched. */
  request(method, id, query = '', body = undefined) {
    return this.server.request(method, this.#path(`/${escapeID(id)}${query}`), body);
  }

  /** Writes the next revision of what is there now, or the first one. */
  async edit(id, change) {
    const [rev] = await this.write({ ...await this.read(id), _id: id, ...change });
    return rev;
  }

  async remove(id) {
    const [rev] = await this.write({ _id: id, _rev: (await this.read(id))._rev, _deleted: true });
    return rev;
  }

  /** @returns {Promise<Map<string, string[]>>} every document's leaf revisions, sorted */
  async revisions() {
    const { results } = await this.server.ask('GET', this.#path('/_changes?style=all_docs'));
    return new Map(results.map((row) => [row.id, row.changes.map((c) => c.rev).sort()]));
  }

  /** @returns {Promise<object[]>} all leaves of these documents, with _revisions and attachments */
  async leaves(ids) {
    const docs = [];
    for (let i = 0; i < ids.length; i += BATCH) {
      const body = { docs: ids.slice(i, i + BATCH).map((id) => ({ id })) };
      const { results } = await this.server.ask('POST', this.#path('/_bulk_get?revs=true&attachments=true'), body);
      docs.push(...results.flatMap((result) => result.docs.map((row) => this.#leaf(result.id, row))));
    }
    return docs;
  }

  #leaf(id, row) {
    assert.ok(row.ok, `expected ${this.label} to give all leaves of ${id}, but it answered ${JSON.stringify(row)}`);
    return row.ok;
  }
}

/** The id as a path: everything but the slash after _design is escaped. */
function escapeID(id) {
  return id.startsWith('_design/') ? `_design/${encodeURIComponent(id.slice(8))}` : encodeURIComponent(id);
}
