/** Calls about small replicated values and about files: see api-client.ts. */
import { z } from 'zod';
import { isIdunnoError } from '../base/index.js';
import type { Wire } from '../net/index.js';
import type { FileVersion, ListPage, PutResult, PutSource } from '../sdfs/index.js';
import {
  ApiCalls,
  type ClientCallOptions,
  type ClientPutOptions,
  chunksOf,
  type NodeCallOptions,
  numberSchema,
  TRANSFER_TIMEOUT_MS,
} from './api-calls.js';
import {
  API,
  fileVersionSchema,
  listPageSchema,
  parseAnswer,
  putResultSchema,
  type SettingRecord,
  settingSchema,
  type StorageReport,
  storageReportSchema,
} from './contract.js';
import { type PackedFile, packFiles } from './pack.js';
import { type Setting, SettingWrites } from './setting-writes.js';
import { uploadFiles } from './upload.js';

const SETTINGS_PAGE = 1_000;
const textOrNull: z.ZodType<string | null> = z.string().nullable();

export abstract class FileCalls extends ApiCalls {
  // settings

  private readonly writes = new SettingWrites(async (settings) => {
    const [only] = settings;
    if (only !== undefined && settings.length === 1) return this.putSetting(only, {});
    const id = await this.numbered();
    return this.putNumbered(API.settingsPutMany, [settings, ...id], {});
  });

  /**
   * One replicated write: the cheapest that is acknowledged. Answers its log index. Writes that are
   * made while others are on their way travel together (setting-writes.ts), unless they have a
   * deadline or a signal of their own.
   */
  settingsPut(key: string, value: string, options: ClientCallOptions = {}): Promise<number> {
    const hasOwn = options.timeoutMs !== undefined || options.signal !== undefined;
    return hasOwn ? this.putSetting([key, value], options) : this.writes.put([key, value]);
  }

  private async putSetting(setting: Setting, options: ClientCallOptions): Promise<number> {
    const id = await this.numbered(options);
    return this.putNumbered(API.settingsPut, [...setting, ...id], options);
  }

  private async putNumbered(
    method: string,
    args: readonly Wire[],
    options: ClientCallOptions,
  ): Promise<number> {
    const answer = await this.ask({ method, args, kind: 'repeatable', ...options });
    return parseAnswer(numberSchema, answer.value, method);
  }

  async settingsGet(key: string, options: NodeCallOptions = {}): Promise<string | undefined> {
    return (await this.read(API.settingsGet, [key], textOrNull, options)) ?? undefined;
  }

  /** Settings whose keys start with `prefix`, in key order. */
  async settingsList(
    prefix: string,
    options: NodeCallOptions = {},
  ): Promise<readonly SettingRecord[]> {
    const found: SettingRecord[] = [];
    for (let after: string | null = null; ; ) {
      const args = [prefix, after, SETTINGS_PAGE];
      const page: SettingRecord[] = await this.read(
        API.settingsList,
        args,
        z.array(settingSchema),
        options,
      );
      found.push(...page);
      const last = page.at(-1);
      if (page.length < SETTINGS_PAGE || last === undefined) return found;
      after = last.key;
    }
  }

  // files

  /** Puts a new version: bytes, or a stream that is opened again when another node is tried. */
  async filePut(
    name: string,
    content: Uint8Array | Omit<PutSource, 'name'>,
    options: ClientPutOptions = {},
  ): Promise<PutResult> {
    const id = await this.numbered(options);
    const isBytes = content instanceof Uint8Array;
    const answer = await this.ask({
      method: API.filePut,
      args: [
        name,
        isBytes ? content.length : (content.bytes ?? null),
        options.durability ?? 'all',
        ...id,
      ],
      kind: 'repeatable',
      lane: 'bulk',
      body: () => (isBytes ? content : content.open()),
      probe: API.memberSelf,
      timeoutMs: options.timeoutMs ?? TRANSFER_TIMEOUT_MS,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return parseAnswer(putResultSchema, answer.value, API.filePut);
  }

  /** Puts many files, small ones in groups: see upload.ts. Results in the order they are durable. */
  async filePutMany(
    files: Iterable<PackedFile | PutSource> | AsyncIterable<PackedFile | PutSource>,
    options: ClientPutOptions & { onDone?: (result: PutResult) => void } = {},
  ): Promise<PutResult[]> {
    const results: PutResult[] = [];
    await uploadFiles(this, files, options, (result) => {
      results.push(result);
      options.onDone?.(result);
    });
    return results;
  }

  /** Small files in one call; a node refuses more than PACK_LIMITS. */
  async filePutPack(
    files: readonly PackedFile[],
    options: ClientPutOptions = {},
  ): Promise<readonly PutResult[]> {
    const id = await this.numbered(options);
    const answer = await this.ask({
      method: API.filePutMany,
      args: [files.length, options.durability ?? 'all', ...id],
      kind: 'repeatable',
      lane: 'bulk',
      body: () => chunksOf(packFiles(files)),
      probe: API.memberSelf,
      timeoutMs: options.timeoutMs ?? TRANSFER_TIMEOUT_MS,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return parseAnswer(z.array(putResultSchema), answer.value, API.filePutMany);
  }

  /** The newest version unless one is named. Consume the chunks or abort the signal. */
  async fileGet(
    name: string,
    options: ClientCallOptions & { version?: number } = {},
  ): Promise<{ file: FileVersion; chunks: AsyncIterable<Uint8Array> }> {
    const answer = await this.ask({
      method: API.fileGet,
      args: [name, options.version ?? null],
      kind: 'read',
      lane: 'bulk',
      timeoutMs: options.timeoutMs ?? TRANSFER_TIMEOUT_MS,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const file = parseAnswer(fileVersionSchema, answer.value, API.fileGet);
    return { file, chunks: answer.body };
  }

  fileVersions(
    name: string,
    count: number,
    options: NodeCallOptions = {},
  ): Promise<readonly FileVersion[]> {
    return this.read(API.fileVersions, [name, count], z.array(fileVersionSchema), options);
  }

  fileStat(name: string, version?: number, options: NodeCallOptions = {}): Promise<FileVersion> {
    return this.read(API.fileStat, [name, version ?? null], fileVersionSchema, options);
  }

  fileList(
    prefix: string,
    options: NodeCallOptions & { after?: string; limit?: number } = {},
  ): Promise<ListPage> {
    const args = [prefix, options.after ?? null, options.limit ?? 1_000];
    return this.read(API.fileList, args, listPageSchema, options);
  }

  /** Every page of a listing, file by file. */
  async *fileListAll(prefix: string, options: NodeCallOptions = {}): AsyncGenerator<FileVersion> {
    for (let after: string | undefined; ; ) {
      const page = await this.fileList(prefix, {
        ...options,
        ...(after === undefined ? {} : { after }),
      });
      yield* page.files;
      if (page.next === undefined) return;
      after = page.next;
    }
  }

  /**
   * Deletes a name. A delete whose answer was lost is sent again; that the file is then gone
   * already is success.
   */
  async fileDelete(name: string, options: ClientCallOptions = {}): Promise<void> {
    const call = { method: API.fileDelete, args: [name], ...options } as const;
    try {
      await this.ask({ ...call, kind: 'once' });
    } catch (error) {
      const mayBeDone = isIdunnoError(error) && error.effect === 'unknown' && error.isRetryable;
      if (!mayBeDone || isIdunnoError(error, 'ABORTED')) throw error;
      await this.ask({ ...call, kind: 'repeatable' }).catch((second: unknown) => {
        if (!isIdunnoError(second, 'FILE_NOT_FOUND')) throw second;
      });
    }
  }

  /** What one node holds; the node that answers when none is named. */
  fileStore(node?: string, options: ClientCallOptions = {}): Promise<readonly FileVersion[]> {
    return this.read(API.fileStore, [node ?? null], z.array(fileVersionSchema), options);
  }

  fileReport(options: NodeCallOptions = {}): Promise<StorageReport> {
    return this.read(API.fileReport, [], storageReportSchema, options);
  }
}
