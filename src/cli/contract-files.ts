/** Files and settings in the contract: see contract.ts. */
import { z } from 'zod';
import type { FileVersion, ListPage, PutResult, SdfsClient } from '../sdfs/index.js';
import { count, maybeText, node } from './contract-fields.js';

export const fileVersionSchema: z.ZodType<FileVersion> = z.object({
  name: z.string(),
  version: count,
  bytes: count,
  sha256: z.string(),
  createdMs: z.number(),
  holders: z.array(node),
});

export const putResultSchema: z.ZodType<PutResult> = z.object({
  name: z.string(),
  version: count,
  bytes: count,
  sha256: z.string(),
  holders: z.array(node),
  copies: count,
  wanted: count,
});

export const listPageSchema: z.ZodType<ListPage> = z.object({
  files: z.array(fileVersionSchema),
  next: maybeText,
});

export type StorageReport = Awaited<ReturnType<SdfsClient['report']>>;

export const storageReportSchema: z.ZodType<StorageReport> = z.object({
  files: count,
  versions: count,
  bytes: count,
  underReplicated: count,
  lost: count,
  reasons: z.array(z.string()),
});

/** A small replicated value; `revision` counts its puts. */
export interface SettingRecord {
  readonly key: string;
  readonly value: string;
  readonly index: number;
  readonly revision: number;
}

export const settingSchema: z.ZodType<SettingRecord> = z.object({
  key: z.string(),
  value: z.string(),
  index: count,
  revision: count,
});
