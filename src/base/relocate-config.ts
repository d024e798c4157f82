/**
 * A config moved elsewhere: other ports, another folder. Drills, tests and the demonstration start
 * the ready clusters of `config/` this way without getting into each other's way. Pure.
 */
import { stringify } from 'yaml';
import { assert } from './assert.js';
import type { ClusterConfig, Preset } from './config-types.js';
import { parseClusterConfig } from './config.js';

export interface Relocation {
  /** Absolute path that the new file will have. */
  readonly path: string;
  /** Each node's folder is this one's subfolder of its name. */
  readonly dataRoot: string;
  /** One number per node, free for TCP and UDP. */
  readonly ports: readonly number[];
  readonly preset?: Preset;
}

/** The text of a config file for the same cluster in another place, and what it means. */
export function relocateClusterConfig(
  config: ClusterConfig,
  place: Relocation,
): { readonly text: string; readonly config: ClusterConfig } {
  assert(place.ports.length === config.nodes.length, 'one port per node');
  const preset = place.preset ?? config.preset;
  const keepsTiming = preset === config.preset;
  const text = stringify({
    cluster: config.cluster,
    preset,
    dataRoot: place.dataRoot,
    coordinators: [...config.coordinators],
    nodes: config.nodes.map((node, i) => ({
      name: node.name,
      host: '127.0.0.1',
      port: place.ports[i],
      slots: node.slots,
      ...(Object.keys(node.labels).length > 0 ? { labels: { ...node.labels } } : {}),
    })),
    ...(keepsTiming ? { raft: config.raft, swim: config.swim, sdfs: config.sdfs } : {}),
  });
  return { text, config: parseClusterConfig(text, place.path) };
}
