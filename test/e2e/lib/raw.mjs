/** A client that speaks the legacy protocol line by line, and can get it wrong. */
import { randomBytes } from 'node:crypto';
import { event, inTime, until } from './wait.mjs';

export class RawClient {
  /** @param {import('./clients.mjs').Client} client whose websocket implementation is used */
  static async connect(client, url) {
    const WebSocket = client.require('ws');
    const socket = new WebSocket(url);
    socket.on('error', () => {}); // a close follows, or the open below does not come
    await event(socket, 'open', `a websocket to ${url}`);
    return new RawClient(socket);
  }

  /** Lines received so far, parsed, with their text: {text, value}. */
  lines = [];
  /** Once closed: {code, reason}. */
  closed;

  #socket;

  constructor(socket) {
    this.#socket = socket;
    socket.on('message', (data) => this.#receive(data.toString()));
    socket.on('close', (code, reason) => { this.closed = { code, reason }; });
  }

  #receive(message) {
    for (const text of message.split('\n')) {
      if (text !== '') this.lines.push({ text, value: JSON.parse(text) });
    }
  }

  /** Sends a message as it is. @param {string | Buffer} message */
  send(message) {
    this.#socket.send(message);
  }

  /** Sends one line. */
  line(value) {
    this.send(`${JSON.stringify(value)}\n`);
  }

  /** The first line that is accepted, when it is there. @returns {Promise<{text, value}>} */
  async first(expected, accept) {
    let found;
    await until(expected, () => {
      found = this.lines.find(({ value }) => accept(value));
      return found ? undefined : `the lines were ${this.lines.map((l) => l.text).join(' ').slice(0, 2000) || 'none'}; closed: ${JSON.stringify(this.closed)}`;
    });
    return found;
  }

  /** Waits for the server to close the websocket. @returns {Promise<{code: number, reason: string}>} */
  async closing(expected) {
    await until(expected, () => (this.closed ? undefined : 'it is open'));
    return this.closed;
  }

  /** Asks for a database. @returns {Promise<Channel>} */
  async open(database, credentials) {
    const id = unique();
    this.line([id, 'new', { opts: { writable: true, readable: true } }]);
    this.line([id, 'data', { database, credentials }]);
    const { value: [, , [denied, name]] } = await this.first(`an answer to the request for ${database}`, ([stream, kind]) => stream === id && kind === 'data');
    if (denied) throw new Error(`the request for ${database} was denied: ${denied.message}`);
    const { value: [stream] } = await this.first(`a stream for ${database}`, ([, kind, options]) => kind === 'new' && options.meta === name);
    return new Channel(this, stream);
  }

  async close() {
    if (this.closed) return;
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.close();
    await inTime(closed, 'the websocket to close');
  }
}

/** A granted database. */
export class Channel {
  #client;
  #calls = 0;

  constructor(client, stream) {
    this.#client = client;
    this.stream = stream;
  }

  /** Calls a method. @param {string} args their JSON @returns {Promise<string>} the JSON text of [err, result] */
  async ask(method, args) {
    const call = this.#calls++;
    this.#client.send(`["${this.stream}","data",[${call},null,"${method}",${args}]]\n`);
    const { text } = await this.#client.first(
      `an answer to ${method}`,
      ([stream, kind, data]) => stream === this.stream && kind === 'data' && data[0] === call,
    );
    // The line is ["stream","data",[call,[err,result]]].
    return text.slice(text.indexOf(`[${call},`) + `[${call},`.length, -2);
  }
}

/** An id for a stream, as the client makes them. */
export function unique() {
  return randomBytes(13).toString('hex');
}
