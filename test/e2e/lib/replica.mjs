/** A PouchDB on the client's side. It is in memory, and left to the end of the process: destroying one under a replication that goes on is an error. */
import { randomBytes } from 'node:crypto';

export class Replica {
  /** @param {import('./clients.mjs').Client} client */
  constructor(client) {
    this.db = client.open(`replica-${randomBytes(6).toString('hex')}`);
    this.label = `replica of PouchDB ${client.version}`;
  }

  /** Writes new revisions. Fails with PouchDB's status of the first that is refused. @returns {Promise<string[]>} */
  async write(...docs) {
    const rows = await this.db.bulkDocs(docs);
    for (const { ok, id, message, status } of rows) {
      if (!ok) throw Object.assign(new Error(`${this.label} refused ${id}: ${message}`), { status });
    }
    return rows.map((row) => row.rev);
  }

  /** Writes given revisions, as a replicator does. */
  async graft(...docs) {
    const failed = await this.db.bulkDocs(docs, { new_edits: false });
    if (failed.length > 0) throw new Error(`${this.label} refused ${JSON.stringify(failed)}`);
  }

  /** The winning revision, or undefined. */
  async read(id, options = {}) {
    try {
      return await this.db.get(id, options);
    } catch (err) {
      if (err.status === 404) return undefined;
      throw err;
    }
  }

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
    const { results } = await this.db.changes({ since: 0, style: 'all_docs' });
    return new Map(results.map((row) => [row.id, row.changes.map((c) => c.rev).sort()]));
  }

  /** @returns {Promise<object[]>} all leaves of these documents, with _revisions and attachments */
  async leaves(ids) {
    const leaves = await Promise.all(ids.map((id) => this.db.get(id, { open_revs: 'all', revs: true, attachments: true })));
    return leaves.flat().map((leaf) => leaf.ok);
  }
}
