/** `pouchbridge dev`: the bridge and its store in one process. */
import { after, before, describe, it } from 'node:test';
import { Client, versions } from './lib/clients.mjs';
import { converge } from './lib/compare.mjs';
import { CouchDB } from './lib/couchdb.mjs';
import { Program } from './lib/process.mjs';
import { Replica } from './lib/replica.mjs';
import { Session } from './lib/session.mjs';
import { variety } from './scenarios/documents.mjs';

describe('pouchbridge dev', () => {
  let program;
  before(async () => { program = await Program.start('dev', { POUCHBRIDGE_LISTEN: '127.0.0.1:0', POUCHBRIDGE_LOG_FORMAT: 'json' }); });
  after(() => program.stop());

  for (const version of versions) {
    it(`syncs PouchDB ${version} both ways, without credentials`, { timeout: 180_000 }, async () => {
      const client = new Client(version);
      const database = await new CouchDB(program.couchdbURL).createDatabase(`e2e-${version.replaceAll('.', '-')}`);
      const [replica, session] = [new Replica(client), new Session(client, program.url)];
      await Promise.all([variety(database, 'pulled'), variety(replica, 'pushed')]);
      const sync = session.sync(replica, database.name, undefined);
      await session.connect();
      await converge(database, replica);
      sync.check();
      await session.end();
    });
  }
});
