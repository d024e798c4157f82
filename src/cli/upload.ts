/**
 * Uploading many local files: small ones gathered into packs (one call, one group commit each), big
 * ones streamed, a few of each in flight. Memory is bounded by the packs in flight. Stops at the
 * first error, after what was in flight has settled, and says how far it came.
 */
import { asIdunnoError, IdunnoError } from '../base/index.js';
import type { PutResult, PutSource } from '../sdfs/index.js';
import type { ClientPutOptions } from './api-calls.js';
import type { ApiClient } from './api-client.js';
import type { PackedFile } from './pack.js';

/** A file in memory, or one that is read when its turn comes. */
export type UploadFile = PackedFile | PutSource;

/** What uploading needs of the client. */
type Putter = Pick<ApiClient, 'filePut' | 'filePutPack'>;

/** Up to this size a file travels in a pack (DESIGN §8: files of one group share a pack file). */
export const SMALL_FILE_BYTES_MAX = 256 * 1024;
/** What a node accepts in one packed call. */
export const PACK_LIMITS = {
  fileBytesMax: SMALL_FILE_BYTES_MAX,
  filesMax: 500,
  totalBytesMax: 16 * 1024 * 1024,
} as const;
/** Smaller than accepted: several packs in flight keep more disks busy than one big one. */
const PACK_FILES = 100;
const PACK_BYTES = 4 * 1024 * 1024;
const CALLS_IN_FLIGHT = 4;

/** Uploads; `onDone` is told of every file as it is durable. Answers how many were put. */
export async function uploadFiles(
  client: Putter,
  files: Iterable<UploadFile> | AsyncIterable<UploadFile>,
  options: ClientPutOptions,
  onDone: (result: PutResult) => void,
): Promise<number> {
  const upload = new Upload(client, options, onDone);
  try {
    for await (const file of files) await upload.add(file);
    await upload.finish();
  } catch (error) {
    await upload.settle();
    const cause = asIdunnoError(error);
    if (upload.done === 0) throw cause;
    throw new IdunnoError(
      'PARTLY_DONE',
      `${upload.done} files were put, then: ${cause.message}`,
      { done: upload.done },
      cause,
    );
  }
  return upload.done;
}

class Upload {
  done = 0;
  private readonly client: Putter;
  private readonly options: ClientPutOptions;
  private readonly onDone: (result: PutResult) => void;
  private readonly inFlight = new Set<Promise<void>>();
  private pack: PackedFile[] = [];
  private packBytes = 0;
  private failure: unknown;

  constructor(client: Putter, options: ClientPutOptions, onDone: (result: PutResult) => void) {
    this.client = client;
    this.options = options;
    this.onDone = onDone;
  }

  async add(file: UploadFile): Promise<void> {
    this.throwFailure();
    const size = sizeOf(file);
    if (size === undefined || size > SMALL_FILE_BYTES_MAX) {
      const content = 'open' in file ? file : file.bytes;
      await this.launch(async () => [await this.client.filePut(file.name, content, this.options)]);
      return;
    }
    this.pack.push({ name: file.name, bytes: await wholeOf(file) });
    this.packBytes += size;
    if (this.pack.length >= PACK_FILES || this.packBytes >= PACK_BYTES) await this.sendPack();
  }

  async finish(): Promise<void> {
    await this.sendPack();
    await this.settle();
    this.throwFailure();
  }

  async settle(): Promise<void> {
    await Promise.all(this.inFlight);
  }

  private async sendPack(): Promise<void> {
    const files = this.pack;
    if (files.length === 0) return;
    this.pack = [];
    this.packBytes = 0;
    await this.launch(() => this.client.filePutPack(files, this.options));
  }

  /** Starts a call, after waiting for a free place. */
  private async launch(call: () => Promise<readonly PutResult[]>): Promise<void> {
    while (this.inFlight.size >= CALLS_IN_FLIGHT) await Promise.race(this.inFlight);
    this.throwFailure();
    const running = call()
      .then((results) => {
        for (const result of results) {
          this.done += 1;
          this.onDone(result);
        }
      })
      .catch((error: unknown) => {
        this.failure ??= error;
      })
      .finally(() => this.inFlight.delete(running));
    this.inFlight.add(running);
  }

  private throwFailure(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}

function sizeOf(file: UploadFile): number | undefined {
  return 'open' in file ? file.bytes : file.bytes.length;
}

async function wholeOf(file: UploadFile): Promise<Uint8Array> {
  if (!('open' in file)) return file.bytes;
  const chunks: Uint8Array[] = [];
  for await (const chunk of file.open()) chunks.push(chunk);
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}
