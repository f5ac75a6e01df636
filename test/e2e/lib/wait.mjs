/** Waiting. Every wait is for a condition or an event, has a deadline, and fails with what was expected. */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

/** Milliseconds after which a wait fails unless it says otherwise. */
export const DEADLINE = 60_000;

/**
 * Calls check until it returns nothing; what it returns before that says, in words, what is still wrong.
 * Calls are 5 ms apart at first and at most 200 ms later on.
 *
 * @param {string} expected what is waited for; "expected <expected>" must read as a sentence
 * @param {() => (string | undefined | Promise<string | undefined>)} check
 */
export async function until(expected, check, within = DEADLINE) {
  const end = performance.now() + within;
  for (let gap = 5; ; gap = Math.min(gap * 1.5, 200)) {
    const wrong = await check();
    if (!wrong) return;
    if (performance.now() > end) assert.fail(`expected ${expected} within ${within} ms, but ${wrong}`);
    await pause(gap);
  }
}

/** Resolves with the arguments of the emitter's next event of that name. Listens from the moment of the call. */
export function event(emitter, name, expected, within = DEADLINE) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      emitter.removeListener(name, heard);
      reject(new assert.AssertionError({ message: `expected ${expected} within ${within} ms, but no '${name}' came` }));
    }, within);
    function heard(...args) {
      clearTimeout(timer);
      resolve(args);
    }
    emitter.once(name, heard);
  });
}

/** Settles as promise does, or fails once the time is over. */
export async function inTime(promise, expected, within = DEADLINE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new assert.AssertionError({ message: `expected ${expected} within ${within} ms` })), within);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
