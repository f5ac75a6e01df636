/** All scenarios, in the order in which they start. */
import attachments from './attachments.mjs';
import convergence from './convergence.mjs';
import endings from './endings.mjs';
import example from './example.mjs';
import ids from './ids.mjs';
import numbers from './numbers.mjs';
import reconnects from './reconnects.mjs';
import refusals from './refusals.mjs';
import replication from './replication.mjs';

export const scenarios = [...convergence, ...reconnects, ...example, ...replication, ...attachments, ...ids, ...numbers, ...refusals, ...endings];
