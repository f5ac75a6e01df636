#!/usr/bin/env node
/**
 * Runs the end-to-end tests: installs the clients that are not installed, builds the program with the race detector, and
 * starts `node --test`.
 *
 *   node test/e2e/run.mjs                                          everything
 *   node test/e2e/run.mjs --client 9.0.0 --scenario 'first pull'   one scenario of one version
 *   COUCHDB_URL=http://admin:secret@127.0.0.1:5984 node test/e2e/run.mjs   with that CouchDB as upstream
 */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { versions } from './lib/clients.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.resolve(HERE, '../..');
const BINARY = path.join(ROOT, 'bin', 'pouchbridge-race');
const OLDEST_NODE = 20;
const FILES_AT_A_TIME = 2;
const INSTALL_TIMEOUT = 300_000;
const BUILD_TIMEOUT = 600_000;

try {
  const { client, scenario } = options();
  const files = await testFiles(client);
  await Promise.all([build(), installAll()]);
  process.exitCode = await test(files, scenario);
} catch (err) {
  console.error(`test/e2e: ${err.message}`);
  process.exitCode = 1;
}

function options() {
  if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
    throw new Error(`this is Node.js ${process.versions.node}, and ${OLDEST_NODE} or later is needed; \`npx --yes node@${OLDEST_NODE} test/e2e/run.mjs\` runs the tests with it`);
  }
  return parseArgs({ options: { client: { type: 'string', multiple: true }, scenario: { type: 'string' } } }).values;
}

/** The files to run: all, or those of the versions asked for. */
async function testFiles(wanted) {
  const unknown = (wanted ?? []).filter((version) => !versions.includes(version));
  if (unknown.length > 0) throw new Error(`no client ${unknown.join(', ')}; there are ${versions.join(', ')}`);
  const files = wanted
    ? wanted.map((version) => `pouchdb-${version}.test.mjs`)
    : (await fs.readdir(HERE)).filter((name) => name.endsWith('.test.mjs')).sort();
  return files.map((name) => path.join(HERE, name));
}

/** Installs every client. All are needed: a test file may use any of them. */
async function installAll() {
  await Promise.all(versions.map((version) => install(path.join(ROOT, 'test', 'clients', version))));
}

/** Installs what the lockfile says, unless that was done before; a file in node_modules says which lockfile that was. */
async function install(directory) {
  const lockfile = await fs.readFile(path.join(directory, 'package-lock.json'));
  const digest = createHash('sha256').update(lockfile).digest('hex');
  const stamp = path.join(directory, 'node_modules', '.installed-lockfile');
  if (await fs.readFile(stamp, 'utf8').catch(() => '') === digest) return;
  console.error(`test/e2e: installing ${path.relative(ROOT, directory)}`);
  await run('npm', ['ci', '--loglevel=error'], {
    cwd: directory,
    timeout: INSTALL_TIMEOUT,
    missing: 'npm is not installed; on Debian `apt-get install npm` installs it, and so does every Node.js of nodejs.org',
  });
  await fs.writeFile(stamp, digest);
}

async function build() {
  if (process.env.E2E_BINARY) return;
  await run('go', ['build', '-race', '-o', BINARY, '.'], {
    cwd: ROOT,
    timeout: BUILD_TIMEOUT,
    missing: 'go is not installed; `snap install go --classic` or `brew install go` installs it, or see https://go.dev/doc/install',
  });
}

/** Runs a program to its end. Its output is shown only if it fails. */
async function run(program, args, { missing, ...options }) {
  try {
    await promisify(execFile)(program, args, { ...options, maxBuffer: 16 << 20 });
  } catch (err) {
    if (err.code === 'ENOENT') throw new Error(missing);
    if (/C compiler .* not found|-race requires cgo/.test(err.stderr)) throw new Error('the race detector needs a C compiler; on Debian `apt-get install gcc libc6-dev` installs it');
    throw new Error(`\`${program} ${args.join(' ')}\` failed in ${options.cwd}:\n${err.stdout ?? ''}${err.stderr ?? err.message}`);
  }
}

/** @returns {Promise<number>} the status to exit with */
async function test(files, scenario) {
  const args = ['--no-warnings', '--test', `--test-concurrency=${FILES_AT_A_TIME}`, '--test-reporter=spec'];
  if (scenario) args.push(`--test-name-pattern=${scenario}`);
  const child = spawn(process.execPath, [...args, ...files], {
    stdio: 'inherit',
    env: { ...process.env, E2E_BINARY: process.env.E2E_BINARY ?? BINARY, NODE_NO_WARNINGS: '1' },
  });
  const [code, signal] = await once(child, 'exit');
  return signal ? 1 : code;
}
