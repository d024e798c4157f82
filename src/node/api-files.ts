/** Files for clients: `api.file.*`. Bodies stream through; nothing here holds more than a pack. */
import { z } from 'zod';
import { type ErrorData, IdunnoError } from '../base/index.js';
import { API, PACK_LIMITS, toWire, unpackFiles } from '../cli/index.js';
import type { Rpc } from '../net/index.js';
import type { PutOptions, PutResult, PutSource } from '../sdfs/index.js';
import { type ApiParts, nothing, requestOf, serve, text, whole } from './api-parts.js';

const durability = z.enum(['all', 'quorum']);
const optionalVersion = whole.nullable();
const LIST_LIMIT_MAX = 10_000;

export function serveFiles(rpc: Pick<Rpc, 'handle'>, parts: ApiParts): void {
  servePuts(rpc, parts);
  serveReads(rpc, parts);
  serveStorage(rpc, parts);
}

function servePuts(rpc: Pick<Rpc, 'handle'>, { sdfs }: ApiParts): void {
  const putArgs = z.tuple([text, whole.nullable(), durability, whole, whole]);
  serve(rpc, API.filePut, putArgs, async ([name, bytes, when, session, seq], body, { signal }) => {
    const options = { durability: when, signal, ...requestOf(session, seq) };
    const source = { name, bytes: bytes ?? undefined, open: openOnce(body) };
    return { value: toWire(await sdfs.put(source, options)) };
  });
  const manyArgs = z.tuple([whole, durability, whole, whole]);
  serve(rpc, API.filePutMany, manyArgs, async ([count, when, session, seq], body, { signal }) => {
    const sources: PutSource[] = [];
    for await (const file of unpackFiles(body, PACK_LIMITS)) {
      const { name, bytes } = file;
      sources.push({ name, bytes: bytes.length, open: () => oneChunk(bytes) });
    }
    if (sources.length !== count) {
      throw new IdunnoError('PROTOCOL', `${sources.length} of ${count} files arrived`);
    }
    const options = { durability: when, signal, ...requestOf(session, seq) };
    return { value: toWire(await putAll(sources, options)) };
  });

  async function putAll(sources: PutSource[], options: PutOptions): Promise<PutResult[]> {
    const results: PutResult[] = [];
    for await (const result of sdfs.putMany(iterate(sources), options)) results.push(result);
    return results;
  }
}

/** A body can be read once; a put that must start over is started over by the client. */
function openOnce(body: AsyncIterable<Uint8Array>): () => AsyncIterable<Uint8Array> {
  let isOpened = false;
  return () => {
    if (isOpened) {
      const data: ErrorData = { reason: 'restart-upload' };
      throw new IdunnoError('UNAVAILABLE', 'the upload has to start over', data);
    }
    isOpened = true;
    return body;
  };
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* iterate<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

function serveReads(rpc: Pick<Rpc, 'handle'>, { sdfs }: ApiParts): void {
  const named = z.tuple([text, optionalVersion]);
  serve(rpc, API.fileGet, named, async ([name, version], _body, { signal }) => {
    const options = { signal, ...(version === null ? {} : { version }) };
    const { file, chunks } = await sdfs.get(name, options);
    return { value: toWire(file), body: chunks };
  });
  serve(rpc, API.fileStat, named, async ([name, version]) => ({
    value: toWire(await sdfs.stat(name, version ?? undefined)),
  }));
  const versionsArgs = z.tuple([text, whole.min(1).max(LIST_LIMIT_MAX)]);
  serve(rpc, API.fileVersions, versionsArgs, async ([name, count]) => ({
    value: toWire(await sdfs.versions(name, count)),
  }));
  const listArgs = z.tuple([text, text.nullable(), whole.min(1).max(LIST_LIMIT_MAX)]);
  serve(rpc, API.fileList, listArgs, async ([prefix, after, limit]) => {
    const options = { limit, ...(after === null ? {} : { after }) };
    return { value: toWire(await sdfs.list(prefix, options)) };
  });
}

function serveStorage(rpc: Pick<Rpc, 'handle'>, { sdfs, config, node }: ApiParts): void {
  serve(rpc, API.fileDelete, z.tuple([text]), async ([name]) => {
    await sdfs.delete(name);
    return { value: null };
  });
  serve(rpc, API.fileStore, z.tuple([text.nullable()]), async ([name]) => {
    const wanted = name ?? node.name;
    const found = config.nodes.find((candidate) => candidate.name === wanted);
    if (found === undefined) {
      throw new IdunnoError('NODE_NOT_FOUND', `no node "${wanted}" is in this cluster`);
    }
    return { value: toWire(await sdfs.storeOf(found.name)) };
  });
  serve(rpc, API.fileReport, nothing, async () => ({ value: toWire(await sdfs.report()) }));
}
