/** Ports that can be taken again after their owner was killed. */
import net from 'node:net';

// Below the range from which Linux, macOS and Windows give out ports for outgoing connections: while a server is being
// restarted, no connection of this machine takes its port.
const FIRST = 20_000;
const LAST = 29_999;

/** A port of 127.0.0.1 on which nobody listens now. */
export async function freePort() {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port found on 127.0.0.1 between ${FIRST} and ${LAST}`);
}

function isFree(port) {
  return new Promise((resolve) => {
    const probe = net.createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
