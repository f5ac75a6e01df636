// An endpoint for the policy webhook: PORT=8080 SECRET=… node examples/policies/webhook.mjs
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

// Your own way of knowing users goes here.
function decide({ credentials, database }) {
  if (credentials?.apiKey !== 'alice-s key') {
    return { refuse: { code: 'unauthorized', message: 'this key is not known' } };
  }
  if (database !== 'todos') {
    return { refuse: { code: 'not_found', message: 'there is only todos' } };
  }
  return { database: 'todos-alice', access: 'read-write', subject: 'alice', create: true };
}

function isSigned(header, body) {
  const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(header ?? '') ?? [];
  if (v1 === undefined || Math.abs(Date.now() / 1000 - t) > 300) return false;
  const ours = createHmac('sha256', process.env.SECRET).update(`${t}.`).update(body).digest();
  return timingSafeEqual(ours, Buffer.from(v1, 'hex'));
}

const server = createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  if (!isSigned(request.headers['pouchbridge-signature'], body)) {
    response.writeHead(400).end(); // not 401, which would blame the user
    return;
  }
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(decide(JSON.parse(body))));
});
server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
