/**
 * The machine's network: TCP with Nagle's algorithm off (a heartbeat must not wait for company)
 * and UDP. Errors are ours: PORT_TAKEN, and CONNECTION_LOST with `reason` refused, timeout or
 * unreachable in its data, which the failure detection of rpc.ts tells apart.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, Socket, type SocketConstructorOpts } from 'node:net';
import {
  type Connection,
  type DatagramSocket,
  IdunnoError,
  type Listener,
  MIB,
  type Ms,
  type Network,
} from '../base/index.js';

/** Above it `write` asks for patience. A chunk of a file fits, so transfers keep the wire busy. */
const WRITE_MARK_BYTES = 1 * MIB;

/** Connections that wait to be accepted by a node that is busy. */
const BACKLOG = 511;

export function createRealNetwork(): Network {
  return { listen, connect, openDatagram };
}

function listen(
  host: string,
  port: number,
  accept: (connection: Connection) => void,
): Promise<Listener> {
  const sockets = new Set<Socket>();
  const server = createServer({ highWaterMark: WRITE_MARK_BYTES }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    accept(new TcpConnection(socket));
  });
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, host, port)));
    server.listen({ host, port, backlog: BACKLOG, exclusive: true }, () => {
      server.removeAllListeners('error');
      // Running out of files while accepting is no reason to end the node.
      server.on('error', () => undefined);
      resolve({
        port: portOf(server.address()),
        refuse: () => void server.close(),
        close: () => closeServer(server, sockets),
      });
    });
  });
}

/** Ends the accepted connections too: a closed listener leaves nothing behind. */
function closeServer(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    for (const socket of sockets) socket.destroy();
  });
}

function portOf(address: string | { port: number } | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function listenError(error: Error, host: string, port: number): IdunnoError {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
  if (code === 'EADDRINUSE') {
    const text = `port ${port} of ${host} is taken: end the process that uses it`;
    return new IdunnoError('PORT_TAKEN', `${text} (ss -lptn), or choose another`, { host, port });
  }
  const text = `cannot listen on ${host}:${port}: ${code}; check host and port in the config`;
  return new IdunnoError('BAD_CONFIG', text, { host, port, errno: code }, error);
}

function connect(host: string, port: number, timeoutMs: Ms): Promise<Connection> {
  // Sockets take the options of streams too, though their types do not say so.
  const options: SocketConstructorOpts & { writableHighWaterMark: number } = {
    writableHighWaterMark: WRITE_MARK_BYTES,
  };
  const socket = new Socket(options);
  return new Promise((resolve, reject) => {
    const fail = (reason: string, cause?: Error) => {
      clearTimeout(timer);
      socket.destroy();
      const text = `cannot connect to ${host}:${port}: ${reason}`;
      reject(new IdunnoError('CONNECTION_LOST', text, { host, port, reason }, cause));
    };
    const timer = setTimeout(() => fail('timeout'), Math.max(1, timeoutMs));
    socket.on('error', (error) => fail(reasonOf(error), error));
    socket.connect({ host, port }, () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(new TcpConnection(socket));
    });
  });
}

function reasonOf(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'ECONNREFUSED') return 'refused';
  if (code === 'ETIMEDOUT') return 'timeout';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'reset';
  return 'unreachable';
}

class TcpConnection implements Connection {
  readonly remote: string;
  readonly #socket: Socket;
  #reason: string | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    // Here, for both ends: as an option of `connect` Node 20 does not take it from a made socket.
    socket.setNoDelay(true);
    this.remote = `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`;
    // Kept until onClose tells: an error without a listener would end the process.
    socket.on('error', (error) => {
      this.#reason ??= reasonOf(error);
    });
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Uint8Array): boolean {
    if (!this.#socket.writable) return false;
    return this.#socket.write(bytes);
  }

  onData(listener: (bytes: Uint8Array) => void): void {
    this.#socket.on('data', listener);
  }

  onDrain(listener: () => void): void {
    this.#socket.on('drain', listener);
  }

  onClose(listener: (error: string | undefined) => void): void {
    const tell = () => listener(this.#reason);
    // A peer may be gone before anyone listens; the event must come all the same.
    if (this.#socket.closed) queueMicrotask(tell);
    else this.#socket.once('close', tell);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(reason?: string): void {
    this.#reason ??= reason;
    this.#socket.destroy();
  }
}

function openDatagram(host: string, port: number): Promise<DatagramSocket> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      reject(listenError(error, host, port));
    });
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.removeAllListeners('error');
      // An ICMP "port unreachable" says only what a missing answer says too.
      socket.on('error', () => undefined);
      resolve(wrapDatagram(socket));
    });
  });
}

function wrapDatagram(socket: UdpSocket): DatagramSocket {
  let isClosed = false;
  return {
    port: socket.address().port,
    send(host, port, bytes) {
      if (!isClosed) socket.send(bytes, port, host, () => undefined);
    },
    onPacket(listener) {
      socket.on('message', (bytes, from) => listener(bytes, from.address, from.port));
    },
    close() {
      if (isClosed) return Promise.resolve();
      isClosed = true;
      return new Promise((resolve) => socket.close(() => resolve()));
    },
  };
}
