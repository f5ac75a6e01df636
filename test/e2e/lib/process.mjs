/** The program under test as a child process. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import os from 'node:os';
import readline from 'node:readline';
import { inTime } from './wait.mjs';

const START = 20_000; // ms until it must listen
const STOP = 20_000; // ms from SIGTERM to its end
const KEPT_LINES = 300; // of its log, shown when something fails

const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/** One run of `pouchbridge <command>`. */
export class Program {
  /** @param {string} command serve or dev @param {Record<string, string>} settings its whole POUCHBRIDGE_ environment */
  static async start(command, settings) {
    const program = new Program(command, settings);
    await inTime(Promise.race([program.#listening, program.#ended]), `\`pouchbridge ${command}\` to listen`, START)
      .catch((err) => { program.#child.kill('SIGKILL'); throw program.#explain(err); });
    if (!program.url) throw program.#explain(new Error(`\`pouchbridge ${command}\` ended before it listened`));
    return program;
  }

  /** Address of its websocket listener, ws://127.0.0.1:PORT. */
  url;
  /** Address of the embedded store, for dev. */
  couchdbURL;
  /** Its log, newest last. */
  log = [];

  #child;
  #command;
  #ended;
  #listening;

  constructor(command, settings) {
    this.#command = command;
    this.#child = spawn(binary(), [command], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, TMPDIR: os.tmpdir(), ...settings },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    running.add(this.#child);
    this.#ended = once(this.#child, 'exit').finally(() => running.delete(this.#child));
    this.#listening = new Promise((resolve) => {
      readline.createInterface({ input: this.#child.stderr }).on('line', (line) => this.#read(line, resolve));
    });
  }

  get pid() {
    return this.#child.pid;
  }

  get alive() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  #read(line, listening) {
    this.log.push(line);
    if (this.log.length > KEPT_LINES) this.log.shift();
    if (!line.includes('listening')) return;
    const entry = parse(line);
    if (entry.message !== 'listening' || !entry.url) return;
    this.url = entry.url;
    this.couchdbURL = entry.couchdb_url;
    listening();
  }

  /** Asks it to end. It must exit with 0; the race detector makes it 66. */
  async stop() {
    this.#child.kill('SIGTERM');
    const [code, signal] = await inTime(this.#ended, `\`pouchbridge ${this.#command}\` to end after SIGTERM`, STOP)
      .catch((err) => { this.#child.kill('SIGKILL'); throw this.#explain(err); });
    if (code === 0) return;
    const how = code === null ? `signal ${signal}` : `status ${code}`;
    throw this.#explain(new assert.AssertionError({
      message: `expected \`pouchbridge ${this.#command}\` to end with status 0 after SIGTERM, but it ended with ${how}`,
    }));
  }

  /** Ends it as a crash would. */
  async kill() {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  #explain(err) {
    err.stack += `\nits log:\n${this.log.join('\n')}`;
    return err;
  }
}

/** @returns {Record<string, any>} the log line's fields; none if it is not JSON */
function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}

function binary() {
  const path = process.env.E2E_BINARY;
  if (!path) throw new Error('E2E_BINARY is not set: start the tests with `node test/e2e/run.mjs`, which builds the program');
  return path;
}
