/** The benchmarks that need a real client, with few documents: they run, and count right. How fast things are is not looked at. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TIMEOUT = 180_000;

it('test/bench measures pull, push, requests and processor time', { timeout: TIMEOUT }, async () => {
  const args = ['run', `.${path.sep}${path.join('test', 'bench')}`, '-run', 'pull|push|requests|cpu', '-docs', '50', '-runs', '1'];
  const env = { ...process.env, COUCHDB_URL: '' }; // it takes one on this machine only; the embedded store will do
  const { stdout } = await promisify(execFile)('go', args, { cwd: ROOT, timeout: TIMEOUT, env });
  for (const what of [
    /^\| 50 documents of 200 B pulled by a real client \| the original server .* \| (yes|no) \|$/m,
    /^\| 50 documents of 200 B pushed by a real client \| the original server .* \| (yes|no) \|$/m,
    /^\| upstream requests for that pull and push \| one request for each call of the client: \d+ \| .* \| (yes|no) \|$/m,
    /^\| bridge CPU per 50 documents relayed, pulled and pushed \| .* \| (yes|no) \|$/m,
  ]) assert.match(stdout, what);
});
