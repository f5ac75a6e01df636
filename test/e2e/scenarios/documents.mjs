/** Documents that scenarios write. They work on either side: a Database and a Replica have the same methods for it. */

/** Documents `<prefix>-0`, `<prefix>-1`, … */
export function plain(prefix, count) {
  return Array.from({ length: count }, (_, i) => ({ _id: `${prefix}-${i}`, number: i, text: `${prefix} ${i}` }));
}

/** A revision as replicators write it. The hash of each generation is a letter, repeated: grown('x', 'abc') is 3-ccc…, with its ancestors. */
export function grown(id, letters, body = {}) {
  const ids = [...letters].map((letter) => letter.repeat(32)).reverse();
  return { _id: id, _rev: `${ids.length}-${ids[0]}`, _revisions: { start: ids.length, ids }, ...body };
}

/** Fills one side with every kind of document: edited, deleted, written again after that, and with all kinds of conflicts. */
export async function variety(side, prefix) {
  await side.write(...plain(prefix, 30), { _id: `${prefix}-body`, ...body });
  for (let generation = 2; generation < 6; generation++) await side.edit(`${prefix}-1`, { generation });
  await side.remove(`${prefix}-2`);
  await side.remove(`${prefix}-3`);
  await side.edit(`${prefix}-3`, { again: true });
  await side.graft(...conflicts(prefix));
}

function conflicts(prefix) {
  return [
    grown(`${prefix}-first-generation`, 'a', { from: 'a' }),
    grown(`${prefix}-first-generation`, 'b', { from: 'b' }),
    grown(`${prefix}-forked`, 'abc', { from: 'c' }),
    grown(`${prefix}-forked`, 'abd', { from: 'd' }),
    grown(`${prefix}-forked`, 'abef', { from: 'f' }),
    grown(`${prefix}-loser-deleted`, 'ab', { from: 'b' }),
    grown(`${prefix}-loser-deleted`, 'acd', { _deleted: true, reason: 'a deleted revision may have a body' }),
    grown(`${prefix}-winner-deleted`, 'abcd', { _deleted: true }),
    grown(`${prefix}-winner-deleted`, 'ae', { from: 'e' }),
    grown(`${prefix}-all-deleted`, 'ab', { _deleted: true }),
    grown(`${prefix}-all-deleted`, 'ac', { _deleted: true }),
    grown(`${prefix}-first-deleted`, 'a', { _deleted: true }),
    grown(`${prefix}-no-common-root`, 'abc', { from: 'c' }),
    grown(`${prefix}-no-common-root`, 'def', { from: 'f' }),
  ];
}

const body = {
  nothing: null,
  yes: true,
  numbers: [0, -1, 1.5, 1e21, 1e-7, 9007199254740991],
  text: 'naïve 日本語 😀 "quoted" back\\slash \u0000 \u2028 \n',
  '': 'an empty name',
  'ключ': { deep: [[[{}]]], empty: [] },
  constructor: 'a name that objects have',
  members: { _id: 'not the id', _rev: null, _underscore: 1 },
};
