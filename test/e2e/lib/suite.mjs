/** The scenarios as tests of one client. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { scenarios } from '../scenarios/index.mjs';
import { Client } from './clients.mjs';
import { Stage, World } from './world.mjs';

const TIMEOUT = 180_000; // ms for one scenario; what it waits for has deadlines of its own
const AT_A_TIME = 4;

/**
 * Runs every scenario with one version of PouchDB.
 *
 * A scenario is {name, run(world)}, or {name, cases}: what happens differs between clients, and exactly one of the cases
 * {name, holds(client), run(world)} must hold for any client.
 */
export function suite(version) {
  describe(`PouchDB ${version}`, { concurrency: AT_A_TIME }, () => {
    const client = new Client(version);
    let stage;
    before(async () => { stage = await Stage.open(); });
    after(() => stage.close());
    for (const scenario of scenarios) {
      const { name, run } = variant(scenario, client);
      it(name, { timeout: TIMEOUT }, () => play(stage, client, run));
    }
  });
}

/** The case of a scenario that holds for the client. */
function variant({ name, cases, run }, client) {
  if (!cases) return { name, run };
  const holding = cases.filter((c) => c.holds(client));
  assert.equal(holding.length, 1, `expected one case of scenario "${name}" to hold for PouchDB ${client.version}`);
  return { name: `${name}: ${holding[0].name}`, run: holding[0].run };
}

async function play(stage, client, run) {
  const world = new World(stage, client);
  let failure;
  try {
    await run(world);
  } catch (err) {
    failure = err;
  }
  try {
    await world.close();
  } catch (err) {
    failure ??= err;
  }
  if (failure) throw explained(failure, world);
}

/** Adds what the clients and the bridge said. */
function explained(failure, world) {
  const log = world.bridge.log.slice(-20).join('\n');
  failure.stack += `\nwhat the clients saw: ${world.story()}\nlast lines of the bridge's log:\n${log}`;
  return failure;
}
