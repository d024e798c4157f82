/**
 * Finds the cluster a command speaks to, and connects. In this order: `--connect HOST:PORT`, then
 * the config file of `--config`, IDUNNO_CONFIG, or `idunno.yaml` in the current folder.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type ClusterConfig, IdunnoError, loadClusterConfig } from '../base/index.js';
import type { Address } from '../net/index.js';
import { ApiClient } from './api-client.js';
import type { NodeAddress } from './api-transport.js';
import type { CliIo, TargetOptions } from './types.js';

/** Looked for in the current folder when no file is named. */
const DEFAULT_FILE = 'idunno.yaml';

/** The cluster's file, validated. Throws USAGE where none is named, BAD_CONFIG with all problems. */
export async function loadTargetConfig(
  target: TargetOptions,
  io: CliIo,
  dataRoot?: string,
): Promise<ClusterConfig> {
  const path = target.config ?? (existsSync(resolve(io.cwd, DEFAULT_FILE)) ? DEFAULT_FILE : '');
  if (path === '') {
    throw new IdunnoError(
      'USAGE',
      'which cluster? Name its file with --config or IDUNNO_CONFIG, or a node with --connect',
    );
  }
  return loadClusterConfig(resolve(io.cwd, path), {
    onWarning: (text) => void io.stderr.write(`warning: ${text}\n`),
    ...(dataRoot === undefined ? {} : { dataRoot: resolve(io.cwd, dataRoot) }),
  });
}

/** A client of the cluster that the options name. It connects when it is first used. */
export async function connectTarget(target: TargetOptions, io: CliIo): Promise<ApiClient> {
  if (target.connect !== undefined) {
    const address = parseAddress(target.connect);
    return new ApiClient({
      nodes: [{ ...address, name: target.connect }],
      cluster: undefined,
      ...timeoutOf(target),
    });
  }
  const config = await loadTargetConfig(target, io);
  if (target.node !== undefined && !config.nodes.some((node) => node.name === target.node)) {
    const names = config.nodes.map((node) => node.name).join(', ');
    throw new IdunnoError(
      'NODE_NOT_FOUND',
      `no node "${target.node}" in ${config.path}: it names ${names}`,
    );
  }
  return connectConfig(config, target);
}

/** A client of exactly this cluster. */
export async function connectConfig(
  config: ClusterConfig,
  target: TargetOptions,
): Promise<ApiClient> {
  const nodes: NodeAddress[] = config.nodes.map(({ name, host, port }) => ({ name, host, port }));
  return new ApiClient({
    nodes,
    cluster: config.cluster,
    fingerprint: config.fingerprint,
    ...(target.node === undefined ? {} : { preferred: target.node }),
    ...timeoutOf(target),
  });
}

function timeoutOf(target: TargetOptions): { timeoutMs?: number } {
  return target.timeoutMs === undefined ? {} : { timeoutMs: target.timeoutMs };
}

/** `127.0.0.1:7101` or `[::1]:7101`. Throws USAGE. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port >= 1 && port <= 65_535)) {
    throw new IdunnoError('USAGE', `"${text}" is no address: write HOST:PORT`);
  }
  return { host, port };
}
