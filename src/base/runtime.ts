/**
 * The seams between our code and the machine. Everything that is not pure takes its time, chance,
 * network, disk and database from one Runtime, so that the same node code runs on a real machine
 * and in the simulator. Only implementations of these interfaces may use Date.now, Math.random,
 * setTimeout, node:net, node:dgram or node:fs.
 */
import type { Ms } from './ids.js';

export interface Timer {
  /** Idempotent. After it the call-back never runs. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds with fraction; the origin is arbitrary. */
  now(): Ms;
  /** Milliseconds since 1970. For people and logs; never for ordering. */
  wall(): Ms;
  setTimer(delayMs: Ms, fire: () => void): Timer;
  /** Resolves after the delay; rejects with the signal's reason when it aborts first. */
  sleep(delayMs: Ms, signal?: AbortSignal): Promise<void>;
}

export interface Rng {
  /** Uniform in [0, 2^32). */
  nextU32(): number;
  /** Uniform integer in [0, bound). */
  int(bound: number): number;
  /** Uniform in [0, 1). */
  float(): number;
  /** A stream of its own, so that one part's draws do not shift another's. */
  fork(name: string): Rng;
}

/** A byte stream between two nodes. Events are set once, right after creation. */
export interface Connection {
  readonly remote: string;
  /** False when the buffer is above its mark: wait for onDrain. Data is never dropped. */
  write(bytes: Uint8Array): boolean;
  onData(listener: (bytes: Uint8Array) => void): void;
  onDrain(listener: () => void): void;
  /** Called exactly once, also after a local close; `error` is a short reason. */
  onClose(listener: (error: string | undefined) => void): void;
  pause(): void;
  resume(): void;
  /** Bytes written but not yet handed to the machine. */
  readonly bufferedBytes: number;
  /** Flushes, then ends. */
  end(): void;
  /** Drops at once. */
  destroy(reason?: string): void;
}

export interface Listener {
  readonly port: number;
  /** Refuses connections from now on; those that were accepted stay. */
  refuse(): void;
  close(): Promise<void>;
}

export interface DatagramSocket {
  readonly port: number;
  send(host: string, port: number, bytes: Uint8Array): void;
  onPacket(listener: (bytes: Uint8Array, host: string, port: number) => void): void;
  close(): Promise<void>;
}

export interface Network {
  /** Port 0 takes a free one. Throws PORT_TAKEN. */
  listen(host: string, port: number, accept: (c: Connection) => void): Promise<Listener>;
  /** Throws CONNECTION_LOST: refused, unreachable or unanswered within the time. */
  connect(host: string, port: number, timeoutMs: Ms): Promise<Connection>;
  openDatagram(host: string, port: number): Promise<DatagramSocket>;
}

export interface FileInfo {
  readonly bytes: number;
  readonly isDirectory: boolean;
  readonly modifiedMs: Ms;
}

export interface DiskFile {
  /** Fewer bytes than asked only at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** fdatasync. An error is final: treat the file as lost (never retry). */
  datasync(): Promise<void>;
  truncate(bytes: number): Promise<void>;
  bytes(): Promise<number>;
  close(): Promise<void>;
}

/** Throws DISK_FULL, DISK_ERROR, LOCAL_FILE_NOT_FOUND. */
export interface Disk {
  mkdir(path: string): Promise<void>;
  list(path: string): Promise<string[]>;
  stat(path: string): Promise<FileInfo | undefined>;
  open(path: string, mode: 'read' | 'create' | 'update'): Promise<DiskFile>;
  readFile(path: string, bytesMax: number): Promise<Uint8Array>;
  /** Temporary file, fdatasync, rename, sync of the folder: whole or absent after a crash. */
  writeFileDurable(path: string, bytes: Uint8Array): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  removeTree(path: string): Promise<void>;
  syncDir(path: string): Promise<void>;
  space(path: string): Promise<{ totalBytes: number; freeBytes: number }>;
}

export type BatchOp =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array };

export interface KeyRange {
  readonly gte?: Uint8Array;
  readonly gt?: Uint8Array;
  readonly lte?: Uint8Array;
  readonly lt?: Uint8Array;
  readonly reverse?: boolean;
  readonly limit?: number;
}

/** Reads of one moment. */
export interface DbReader {
  /** Synchronous point read: LevelDB answers from its caches in microseconds. */
  get(key: Uint8Array): Uint8Array | undefined;
  scan(range: KeyRange): AsyncIterable<readonly [Uint8Array, Uint8Array]>;
}

export interface DbSnapshot extends DbReader {
  close(): Promise<void>;
}

export type DbRow = readonly [key: Uint8Array, value: Uint8Array];

/** An ordered map of bytes on disk. One writer; a failed write is fatal to the process. */
export interface Database extends DbReader {
  /** All or nothing. With `sync`, durable when the promise resolves. */
  batch(ops: readonly BatchOp[], options: { sync: boolean }): Promise<void>;
  snapshot(): DbSnapshot;
  /** Many rows at a time, in order: for whoever reads all of them and cannot wait for each. */
  pages?(range: KeyRange): AsyncIterable<readonly DbRow[]>;
  compact(range: KeyRange): Promise<void>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly writeBufferBytes?: number;
  readonly compression?: boolean;
}

export interface Runtime {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly network: Network;
  readonly disk: Disk;
  openDatabase(path: string, options?: DatabaseOptions): Promise<Database>;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** One line per event: a stable event name, then fields. */
export interface Logger {
  debug(event: string, fields?: Readonly<Record<string, unknown>>): void;
  info(event: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(event: string, fields?: Readonly<Record<string, unknown>>): void;
  error(event: string, fields?: Readonly<Record<string, unknown>>): void;
  /** A logger whose lines all carry these fields. */
  child(fields: Readonly<Record<string, unknown>>): Logger;
}
