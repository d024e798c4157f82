/**
 * What the keys of a config file must fulfil together. Each rule returns all its findings; none
 * stops the others, so that one run shows every mistake.
 */
import type { ClusterConfig } from './config-types.js';
import type { ConfigFile, NodeEntry } from './config-schema.js';
import { nearest } from './did-you-mean.js';

export interface Finding {
  /** Keys and indexes from the top of the file. */
  readonly path: readonly (string | number)[];
  readonly text: string;
  readonly isWarning?: boolean;
}

/** Rules on the file as written. */
export function checkFile(file: ConfigFile): Finding[] {
  return [
    ...checkNames(file),
    ...checkCoordinators(file),
    ...file.nodes.flatMap((node, index) => checkHost(node, index)),
    ...checkPorts(file),
  ];
}

/** Rules on the result, when presets and defaults are filled in. */
export function checkConfig(config: ClusterConfig): Finding[] {
  return [...checkDataDirs(config), ...checkRaft(config), ...checkSwim(config)];
}

function checkNames(file: ConfigFile): Finding[] {
  return duplicates(file.nodes.map((node) => node.name)).map(([index, first]) => ({
    path: ['nodes', index, 'name'],
    text: `node name "${file.nodes[index]?.name}" is already used by entry ${first + 1}: names must be unique`,
  }));
}

function checkCoordinators(file: ConfigFile): Finding[] {
  const names = new Set(file.nodes.map((node) => node.name));
  const unknown = file.coordinators.flatMap((name, index): Finding[] => {
    if (names.has(name)) return [];
    const near = nearest(name, names);
    const hint = near === undefined ? 'add it under nodes' : `did you mean "${near}"?`;
    return [{ path: ['coordinators', index], text: `"${name}" is not a node: ${hint}` }];
  });
  const twice = duplicates(file.coordinators).map(([index]) => ({
    path: ['coordinators', index],
    text: `"${file.coordinators[index]}" is named twice`,
  }));
  const count = file.coordinators.length;
  const even: Finding = {
    path: ['coordinators'],
    text: `${count} coordinators survive no more failures than ${count - 1}: use an odd number`,
    isWarning: true,
  };
  return [...unknown, ...twice, ...(count % 2 === 0 ? [even] : [])];
}

/** True for an address that never leaves the machine. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function checkHost(node: NodeEntry, index: number): Finding[] {
  if (isLoopback(node.host)) return [];
  const text = `host "${node.host}" leaves this machine, and links cannot be secured yet: use 127.0.0.1`;
  return [{ path: ['nodes', index, 'host'], text }];
}

/** `port` and `http` share one space: both are TCP. */
function checkPorts(file: ConfigFile): Finding[] {
  const taken = new Map<string, string>();
  const findings: Finding[] = [];
  file.nodes.forEach((node, index) => {
    for (const key of ['port', 'http'] as const) {
      const number = node[key];
      if (number === undefined) continue;
      const host = node.host === 'localhost' ? '127.0.0.1' : node.host;
      const place = `${host}:${number}`;
      const owner = taken.get(place);
      if (owner === undefined) {
        taken.set(place, `${key} of ${node.name}`);
        continue;
      }
      const text = `${key} ${number} on ${node.host} is already taken by ${owner}`;
      findings.push({ path: ['nodes', index, key], text });
    }
  });
  return findings;
}

function checkDataDirs(config: ClusterConfig): Finding[] {
  const folders = config.nodes.map((node) => `${node.host}:${node.dataDir}`);
  return duplicates(folders).map(([index, first]) => ({
    path: ['nodes', index, 'dataDir'],
    text: `dataDir ${config.nodes[index]?.dataDir} is already used by ${config.nodes[first]?.name}: each node needs its own`,
  }));
}

function checkRaft(config: ClusterConfig): Finding[] {
  const { heartbeatMs, electionMinMs, electionMaxMs } = config.raft;
  const findings: Finding[] = [];
  if (electionMinMs < 3 * heartbeatMs) {
    const text = `electionMinMs ${electionMinMs} must be at least 3 × heartbeatMs (${heartbeatMs}): else a late heartbeat starts elections`;
    findings.push({ path: ['raft', 'electionMinMs'], text });
  }
  if (electionMaxMs < 1.5 * electionMinMs) {
    const text = `electionMaxMs ${electionMaxMs} must be at least 1.5 × electionMinMs (${electionMinMs}): else candidates split the votes`;
    findings.push({ path: ['raft', 'electionMaxMs'], text });
  }
  return findings;
}

function checkSwim(config: ClusterConfig): Finding[] {
  const { periodMs, ackTimeoutMs, suspectAtMs, failAfterMs } = config.swim;
  const findings: Finding[] = [];
  const below = (key: string, value: number, limitKey: string, limit: number, why: string) => {
    if (value < limit) return;
    const text = `${key} ${value} must be less than ${limitKey} (${limit}): ${why}`;
    findings.push({ path: ['swim', key], text });
  };
  below('ackTimeoutMs', ackTimeoutMs, 'suspectAtMs', suspectAtMs, 'indirect probes need time too');
  below('suspectAtMs', suspectAtMs, 'periodMs + 1', periodMs + 1, 'a probe ends within its period');
  below('suspectAtMs', suspectAtMs, 'failAfterMs', failAfterMs, 'a suspect needs time to refute');
  return findings;
}

/** [index, index of the first with the same value] of every repetition. */
function duplicates(values: readonly string[]): [index: number, first: number][] {
  const firsts = new Map<string, number>();
  const found: [number, number][] = [];
  values.forEach((value, index) => {
    const first = firsts.get(value);
    if (first === undefined) firsts.set(value, index);
    else found.push([index, first]);
  });
  return found;
}
