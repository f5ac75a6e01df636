/** A TCP proxy that can cut connections, refuse new ones, and write down the HTTP requests that go through. */
import net from 'node:net';
import { freePort } from './port.mjs';
import { until } from './wait.mjs';

const REQUEST = /(GET|HEAD|POST|PUT|DELETE|COPY) (\/\S*) HTTP\/1\.1\r\n/g;
const LONGEST_REQUEST_LINE = 16_384;

export class TCPProxy {
  /** @param {string} target URL of the server behind it */
  static async open(target) {
    const proxy = new TCPProxy(target, await freePort());
    await proxy.accept();
    return proxy;
  }

  /** Request lines seen so far, in order: {method, path}; path with its query, as sent. */
  requests = [];
  /** How many connections were accepted so far. */
  accepted = 0;

  #port;
  #target;
  #server;
  #sockets = new Set();

  constructor(target, port) {
    this.#port = port;
    this.retarget(target);
  }

  /** The target's URL with the proxy's address in place of its own. */
  get url() {
    const url = new URL(this.#target);
    url.hostname = '127.0.0.1';
    url.port = String(this.#port);
    return url.href.replace(/\/$/, '');
  }

  /** Sends future connections elsewhere. */
  retarget(target) {
    this.#target = new URL(target);
  }

  /** Listens, on the same port as before. */
  async accept() {
    await until(`port ${this.#port} to be free`, () => new Promise((resolve) => {
      this.#server = net.createServer((socket) => this.#relay(socket));
      this.#server.once('error', (err) => resolve(err.message));
      this.#server.listen(this.#port, '127.0.0.1', () => resolve(undefined));
    }));
  }

  /** Stops listening: new connections are refused by the kernel. Open ones stay. */
  refuse() {
    this.#server.close();
  }

  /** Resets every open connection. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  close() {
    this.refuse();
    this.cut();
  }

  #relay(client) {
    this.accepted++;
    const server = net.connect({ port: Number(this.#target.port || 80), host: this.#target.hostname });
    for (const [from, to] of [[client, server], [server, client]]) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => to.destroy());
      from.on('close', () => { this.#sockets.delete(from); to.destroy(); });
      from.pipe(to);
    }
    this.#observe(client);
  }

  /** Notes request lines, also those cut by the border of two chunks. A body that looks like one would be noted too. */
  #observe(client) {
    let rest = '';
    client.on('data', (chunk) => {
      const text = rest + chunk.toString('latin1');
      let end = 0;
      for (const match of text.matchAll(REQUEST)) {
        this.requests.push({ method: match[1], path: match[2] });
        end = match.index + match[0].length;
      }
      rest = text.slice(Math.max(end, text.length - LONGEST_REQUEST_LINE));
    });
  }
}
