/** Who a node is, and whom it looks for first, from the config file. */
import {
  type ClusterConfig,
  IdunnoError,
  type NodeConfig,
  type NodeId,
  nodeId,
} from '../base/index.js';
import type { Introducer } from './messages.js';

/** Throws NODE_NOT_FOUND where the file does not name the node. */
export function nodeConfigOf(config: ClusterConfig, name: NodeId): NodeConfig {
  const found = config.nodes.find((node) => node.name === name);
  if (found !== undefined) return found;
  const known = config.nodes.map((node) => node.name).join(', ');
  const text = `${config.path} names no node "${name}": it names ${known}`;
  throw new IdunnoError('NODE_NOT_FOUND', text, { name });
}

/**
 * All configured nodes, and addresses given by hand (`--join HOST:PORT`). Nobody bears a seed's
 * made-up name: who answers says that it is somebody else, and introduces itself with that.
 */
export function introducersOf(
  config: ClusterConfig,
  seeds: readonly { readonly host: string; readonly port: number }[],
): readonly Introducer[] {
  const configured = config.nodes.map(({ name, host, port }) => ({ name, host, port }));
  const given = seeds.map(({ host, port }, index) => ({
    name: nodeId(`seed.${index + 1}`),
    host,
    port,
    isSeed: true,
  }));
  return [...configured, ...given];
}
