/** Whether both sides hold the same: leaf by leaf, deleted ones included. */
import assert from 'node:assert/strict';
import { until } from './wait.mjs';

const SHOWN = 5; // differences in a message

/**
 * Waits until the replica has exactly the leaf revisions of the database, then compares ancestry, bodies and attachments.
 *
 * @param {import('./couchdb.mjs').Database} database
 * @param {import('./replica.mjs').Replica} replica
 * @param {{attachments?: boolean, ancestry?: boolean}} compare attachments: false for a replica that could not take them.
 *   ancestry: false where histories are cut at different lengths
 */
export async function converge(database, replica, { attachments = true, ancestry = true } = {}) {
  let here, there;
  await until(`${replica.label} and ${database.label} to have the same leaf revisions`, async () => {
    [here, there] = await Promise.all([replica.revisions(), database.revisions()]);
    const wrong = differences(there, here);
    if (wrong) return wrong;
    const ids = [...there.keys()];
    [here, there] = await Promise.all([replica.leaves(ids), database.leaves(ids)]);
    return differences(revisionsOf(there), revisionsOf(here)); // either may have changed in between
  });
  const options = { attachments, ancestry };
  compareLeaves(summary(there, options), summary(here, options), database, replica);
}

/** Leaf revisions by id, sorted. */
function revisionsOf(leaves) {
  const revisions = new Map();
  for (const { _id, _rev } of leaves) revisions.set(_id, [...revisions.get(_id) ?? [], _rev].sort());
  return revisions;
}

/** What is wrong, in words; undefined when both have the same leaves. */
function differences(there, here) {
  const wrong = [];
  for (const id of new Set([...there.keys(), ...here.keys()])) {
    const [expected, actual] = [there.get(id), here.get(id)];
    if (String(expected) === String(actual)) continue;
    wrong.push(`${JSON.stringify(id)} is ${expected ?? 'missing'} upstream and ${actual ?? 'missing'} in the replica`);
  }
  if (wrong.length === 0) return undefined;
  return `${wrong.length} of ${there.size} documents differ: ${wrong.slice(0, SHOWN).join('; ')}`;
}

function compareLeaves(there, here, database, replica) {
  for (const [leaf, expected] of there) {
    assert.deepEqual(here.get(leaf), expected, `expected ${leaf} to be the same in ${replica.label} as in ${database.label}`);
  }
}

/** @returns {Map<string, object>} by id and revision, what must be equal on both sides */
function summary(docs, { attachments, ancestry }) {
  return new Map(docs.map((doc) => {
    const { _id, _rev, _revisions, _deleted = false, _attachments = {}, ...body } = doc;
    const leaf = { deleted: _deleted, body };
    if (ancestry) leaf.history = _revisions ?? { start: 1, ids: [_rev.slice(2)] };
    if (attachments) leaf.attachments = contents(_attachments);
    return [`${_id} ${_rev}`, leaf];
  }));
}

/** Type and bytes. Digests may differ: CouchDB's is one of the compressed bytes. */
function contents(attachments) {
  return Object.fromEntries(Object.entries(attachments).map(([name, { content_type, data }]) => [name, { content_type, data }]));
}
