/**
 * A client of etcd's gRPC interface, as light as it can be on Node: HTTP/2 of the standard library,
 * the few messages that are needed written by hand. A heavier client would measure itself.
 *
 * Sources: the gRPC over HTTP/2 protocol (PROTOCOL-HTTP2.md of the grpc project), Protocol Buffers
 * encoding, etcd's api/etcdserverpb/rpc.proto for field numbers.
 */
import { type ClientHttp2Session, connect } from 'node:http2';

export class EtcdError extends Error {
  /** gRPC status; -1 where the connection failed. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'EtcdError';
    this.status = status;
  }
}

const METHODS = {
  put: '/etcdserverpb.KV/Put',
  range: '/etcdserverpb.KV/Range',
  status: '/etcdserverpb.Maintenance/Status',
} as const;

export interface EtcdStatus {
  readonly leader: bigint;
  readonly member: bigint;
}

/** One connection to one member. */
export class EtcdClient {
  readonly #session: ClientHttp2Session;

  constructor(endpoint: string) {
    this.#session = connect(`http://${endpoint}`);
    // Each call tells what happened to it.
    this.#session.on('error', () => undefined);
  }

  get isOpen(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  async put(key: string, value: string, timeoutMs?: number): Promise<void> {
    await this.#call(METHODS.put, [...bytesField(1, key), ...bytesField(2, value)], timeoutMs);
  }

  /** A linearizable read, which is etcd's default. */
  async get(key: string, timeoutMs?: number): Promise<string | undefined> {
    const answer = await this.#call(METHODS.range, bytesField(1, key), timeoutMs);
    for (const { field, bytes } of fieldsOf(answer)) {
      // RangeResponse.kvs = 2, KeyValue.value = 5
      if (field !== 2 || bytes === undefined) continue;
      const value = [...fieldsOf(bytes)].find((each) => each.field === 5)?.bytes;
      return value === undefined ? '' : Buffer.from(value).toString();
    }
    return undefined;
  }

  async status(timeoutMs?: number): Promise<EtcdStatus> {
    const answer = await this.#call(METHODS.status, [], timeoutMs);
    let leader = 0n;
    let member = 0n;
    for (const { field, bytes, number } of fieldsOf(answer)) {
      if (field === 4) leader = number ?? 0n;
      // ResponseHeader.member_id = 2
      if (field !== 1 || bytes === undefined) continue;
      member = [...fieldsOf(bytes)].find((each) => each.field === 2)?.number ?? 0n;
    }
    return { leader, member };
  }

  close(): void {
    this.#session.destroy();
  }

  #call(path: string, message: readonly Uint8Array[], timeoutMs = 10_000): Promise<Uint8Array> {
    const bytes = Buffer.concat(message);
    const frame = Buffer.allocUnsafe(5 + bytes.length);
    frame.writeUInt8(0, 0);
    frame.writeUInt32BE(bytes.length, 1);
    frame.set(bytes, 5);
    return new Promise((resolve, reject) => {
      if (!this.isOpen) {
        reject(new EtcdError(-1, 'the connection is closed'));
        return;
      }
      const stream = this.#session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const chunks: Buffer[] = [];
      let status = '';
      let text = '';
      const readStatus = (headers: Record<string, unknown>): void => {
        if (headers['grpc-status'] !== undefined) status = String(headers['grpc-status']);
        if (headers['grpc-message'] !== undefined) text = String(headers['grpc-message']);
      };
      stream.setTimeout(timeoutMs, () => stream.close());
      stream.on('response', readStatus);
      stream.on('trailers', readStatus);
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', (error) => reject(new EtcdError(-1, error.message)));
      stream.on('close', () => {
        if (status === '0') resolve(Buffer.concat(chunks).subarray(5));
        else if (status === '') reject(new EtcdError(-1, 'no answer'));
        else reject(new EtcdError(Number(status), text));
      });
      stream.end(frame);
    });
  }
}

function bytesField(field: number, text: string): Uint8Array[] {
  const bytes = Buffer.from(text);
  return [Uint8Array.of((field << 3) | 2), varint(bytes.length), bytes];
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Uint8Array.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}

interface Field {
  readonly field: number;
  readonly number: bigint | undefined;
  readonly bytes: Uint8Array | undefined;
}

function* fieldsOf(message: Uint8Array): Generator<Field> {
  let at = 0;
  const readVarint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at] ?? 0;
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80 || at > message.length) return value;
    }
  };
  while (at < message.length) {
    const tag = Number(readVarint());
    const field = tag >> 3;
    if ((tag & 7) === 0) {
      yield { field, number: readVarint(), bytes: undefined };
    } else if ((tag & 7) === 2) {
      const length = Number(readVarint());
      yield { field, number: undefined, bytes: message.subarray(at, at + length) };
      at += length;
    } else {
      throw new EtcdError(-1, `field ${field} is of a kind that these messages do not use`);
    }
  }
}
