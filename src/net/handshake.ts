/**
 * How two processes agree that they belong together, before anything else is said.
 *
 *     dialler                         acceptor
 *        │ ── hello: who I am, whom ──▶ │  other cluster, protocol, name: refuse, with the reason
 *        │ ◀──── hello: who I am ────── │
 *        │  the same checks             │
 *
 * Both sides check the same things, so both see what differs. Until a greeting is accepted a
 * stranger can make us hold a few KiB for a few seconds, no more.
 */
import {
  type BootEpoch,
  type Clock,
  type Connection,
  IdunnoError,
  isIdunnoError,
  type Ms,
  type Timer,
} from '../base/index.js';
import { encodeFrame, FRAME_BYTES_MAX, FRAME_KIND, type Frame, FrameParser } from './frame.js';
import { HANDSHAKE_TIMEOUT_MS, HELLO_BYTES_MAX } from './limits.js';
import { type Lane, LANES, type Peer, type Wire } from './types.js';

/** What this process says of itself. */
export interface Identity {
  readonly kind: Peer['kind'];
  readonly name: string;
  readonly bootEpoch: BootEpoch;
  /** A client may leave it empty: then it takes any cluster. */
  readonly cluster: string;
  readonly fingerprint: string;
  readonly protocolVersion: number;
}

interface Hello extends Identity {
  readonly lane: Lane;
  /** The node that the dialler wants to reach; empty: whoever is there. */
  readonly expects: string;
}

export interface Greeted {
  readonly peer: Peer;
  readonly lane: Lane;
  /** To be read on by the link; may hold bytes of its first frames. */
  readonly parser: FrameParser;
  /** Sends the connection's data there from now on. Until then it is paused. */
  readonly handOver: (sink: DataSink) => void;
}

export interface DataSink {
  onData(bytes: Uint8Array): void;
  onConnectionClosed(reason: string): void;
}

const MAGIC = 'idunno';
const NAME_BYTES_MAX = 128;
const NO_BYTES = new Uint8Array(0);

/** For the peer to read why it was refused. */
const REFUSAL_TIMEOUT_MS = 1000;

/** Greets first, as the one who dialled. Throws WRONG_CLUSTER, PROTOCOL, CONNECTION_LOST. */
export function greet(
  connection: Connection,
  self: Identity,
  lane: Lane,
  expects: string,
  clock: Clock,
  timeoutMs: Ms,
): Promise<Greeted> {
  sendHello(connection, { ...self, lane, expects });
  return receiveHello(connection, clock, timeoutMs, (hello) => {
    refuseStranger(self, hello);
    if (expects !== '' && hello.name !== expects) {
      const text = `${connection.remote} is ${hello.name}, not ${expects}: check host and port`;
      throw new IdunnoError('WRONG_CLUSTER', text, { expected: expects, found: hello.name });
    }
    return lane;
  });
}

/** Waits for a greeting and answers it. Throws as `greet`. */
export function answerGreeting(
  connection: Connection,
  self: Identity,
  clock: Clock,
): Promise<Greeted> {
  return receiveHello(connection, clock, HANDSHAKE_TIMEOUT_MS, (hello) => {
    refuseStranger(self, hello);
    if (hello.expects !== '' && hello.expects !== self.name) {
      const text = `this is ${self.name}, not ${hello.expects}: check host and port`;
      throw new IdunnoError('WRONG_CLUSTER', text, { expected: hello.expects, found: self.name });
    }
    if (hello.kind === 'node' && hello.name === self.name && self.kind === 'node') {
      const text = `another process runs as ${self.name}: give each node its own name`;
      throw new IdunnoError('WRONG_CLUSTER', text, { name: self.name });
    }
    sendHello(connection, { ...self, lane: hello.lane, expects: '' });
    return hello.lane;
  });
}

function refuseStranger(self: Identity, hello: Hello): void {
  if (hello.protocolVersion !== self.protocolVersion) {
    const text = `${hello.name} speaks protocol ${hello.protocolVersion}, ${self.name} ${self.protocolVersion}`;
    throw new IdunnoError('PROTOCOL', `${text}: run the same version of idunno on both`);
  }
  if (hello.cluster === '' && hello.kind === 'client') return;
  if (self.cluster === '' && self.kind === 'client') return;
  if (hello.cluster !== self.cluster) {
    const text = `${hello.name} belongs to cluster "${hello.cluster}", ${self.name} to "${self.cluster}"`;
    const data = { theirs: hello.cluster, ours: self.cluster };
    throw new IdunnoError('WRONG_CLUSTER', `${text}: check the config files`, data);
  }
  const areNodes = hello.kind === 'node' && self.kind === 'node';
  if (areNodes && hello.fingerprint !== self.fingerprint) {
    const text = `${hello.name} and ${self.name} name other coordinators for "${self.cluster}"`;
    throw new IdunnoError(
      'WRONG_CLUSTER',
      `${text}: compare "coordinators" in their config files`,
      {
        cluster: self.cluster,
      },
    );
  }
}

function sendHello(connection: Connection, hello: Hello): void {
  const { protocolVersion, cluster, fingerprint, kind, name, bootEpoch, lane, expects } = hello;
  const rest = [kind, name, bootEpoch, lane, expects];
  const [head] = encodeFrame(FRAME_KIND.hello, [
    MAGIC,
    protocolVersion,
    cluster,
    fingerprint,
    ...rest,
  ]);
  connection.write(head);
}

/** Data from outside: every field is looked at. */
function parseHello(frame: Frame): Hello {
  const [magic, protocolVersion, cluster, fingerprint, kind, name, bootEpoch, lane, expects] =
    frame.header;
  const texts = [cluster, fingerprint, name, expects];
  const isSound =
    magic === MAGIC &&
    typeof protocolVersion === 'number' &&
    texts.every((text) => typeof text === 'string' && text.length <= NAME_BYTES_MAX) &&
    (kind === 'node' || kind === 'client') &&
    isLane(lane) &&
    Number.isSafeInteger(bootEpoch);
  if (!isSound) throw handshakeError('its greeting is malformed');
  return {
    protocolVersion,
    cluster: String(cluster),
    fingerprint: String(fingerprint),
    kind,
    name: String(name),
    bootEpoch: Number(bootEpoch),
    lane,
    expects: String(expects),
  };
}

function isLane(value: Wire | undefined): value is Lane {
  return LANES.some((lane) => lane === value);
}

function handshakeError(text: string): IdunnoError {
  return new IdunnoError('PROTOCOL', `the peer did not greet: ${text}`, { reason: 'handshake' });
}

/** Settles once: with a greeting that `accept` took, or with why there is none. */
function receiveHello(
  connection: Connection,
  clock: Clock,
  timeoutMs: Ms,
  accept: (hello: Hello) => Lane,
): Promise<Greeted> {
  return new Promise((resolve, reject) => {
    const parser = new FrameParser(HELLO_BYTES_MAX);
    let sink: DataSink | undefined;
    let closedFor: string | undefined;
    let isOver = false;
    let refusal: Timer | undefined;
    const fail = (error: IdunnoError, isSpoken: boolean) => {
      if (isOver) return;
      isOver = true;
      timer.cancel();
      if (isSpoken) refusal = sayRefusal(connection, error, clock);
      else connection.destroy('handshake');
      reject(error);
    };
    const timer = clock.setTimer(timeoutMs, () => {
      const data = { reason: 'timeout' };
      fail(new IdunnoError('CONNECTION_LOST', `${connection.remote} did not greet`, data), false);
    });
    connection.onClose((reason) => {
      closedFor = reason ?? 'closed';
      refusal?.cancel();
      const text = `${connection.remote} closed the connection while greeting`;
      fail(new IdunnoError('CONNECTION_LOST', text, { reason: 'closed' }), false);
      sink?.onConnectionClosed(closedFor);
    });
    connection.onData((bytes) => {
      if (sink !== undefined) return sink.onData(bytes);
      if (isOver) return;
      try {
        for (const frame of parser.push(bytes)) {
          const greeted = onFirstFrame(frame, accept);
          isOver = true;
          timer.cancel();
          const handOver = (to: DataSink) => {
            sink = to;
            if (closedFor !== undefined) to.onConnectionClosed(closedFor);
            // What came with the greeting first, then what the pause held back.
            to.onData(NO_BYTES);
            connection.resume();
          };
          connection.pause();
          resolve({ ...greeted, parser: parser.withBound(FRAME_BYTES_MAX), handOver });
          return;
        }
      } catch (error) {
        const known = isIdunnoError(error) ? error : handshakeError(String(error));
        // Who does not speak our frames would not understand the refusal.
        fail(known, known.data['reason'] === undefined);
      }
    });
  });
}

function onFirstFrame(frame: Frame, accept: (hello: Hello) => Lane): { peer: Peer; lane: Lane } {
  if (frame.kind === FRAME_KIND.refuse) {
    const refusal = IdunnoError.fromWire(frame.header[0]);
    // Marked, so that it is not refused in turn.
    throw new IdunnoError(refusal.code, refusal.message, { ...refusal.data, reason: 'refused' });
  }
  if (frame.kind !== FRAME_KIND.hello) throw handshakeError('something else came first');
  const hello = parseHello(frame);
  const lane = accept(hello);
  return { peer: { kind: hello.kind, name: hello.name, bootEpoch: hello.bootEpoch }, lane };
}

/** The peer learns why, then the connection ends; it gets a moment to read. */
function sayRefusal(connection: Connection, error: IdunnoError, clock: Clock): Timer {
  const [head] = encodeFrame(FRAME_KIND.refuse, [error.toWire()]);
  connection.write(head);
  connection.end();
  return clock.setTimer(REFUSAL_TIMEOUT_MS, () => connection.destroy('handshake'));
}
