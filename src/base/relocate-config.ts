/**
 * A config moved elsewhere: other ports, another folder. Drills, tests and the demonstration start
 * the ready clusters of `config/` this way without getting into each other's way. Pure.
 */
import { formatClusterConfig, parseClusterConfig } from './config.js';
import type { ClusterConfig, NodeConfig, Preset } from './config-types.js';
import { IdunnoError } from './errors.js';
import { PRESETS } from './presets.js';

export interface Relocation {
  /** Absolute path that the new file will have. */
  readonly path: string;
  /** Each node's folder is this one's subfolder of its name. */
  readonly dataRoot: string;
  /** One number per node, free for TCP and UDP. */
  readonly ports: readonly number[];
  /** One number per node; without them no node has HTTP. */
  readonly httpPorts?: readonly number[];
  /** Its timings take the place of the config's own. */
  readonly preset?: Preset;
}

/** The same cluster in another place; `writeClusterConfig` writes its file. */
export function relocateClusterConfig(config: ClusterConfig, place: Relocation): ClusterConfig {
  const nodes = config.nodes.map((node, index): NodeConfig => {
    const port = place.ports[index];
    if (port === undefined) {
      const text = `${config.nodes.length} nodes need as many ports, not ${place.ports.length}`;
      throw new IdunnoError('BAD_ARGUMENT', text);
    }
    const dataDir = `${place.dataRoot}/${node.name}`;
    return { ...node, host: '127.0.0.1', port, http: place.httpPorts?.[index], dataDir };
  });
  const timing = place.preset === undefined ? {} : { ...PRESETS[place.preset] };
  const preset = place.preset ?? config.preset;
  const moved = { ...config, ...timing, path: place.path, preset, nodes };
  // Read back, so that what is returned is what the file will mean.
  return parseClusterConfig(formatClusterConfig(moved), place.path);
}
