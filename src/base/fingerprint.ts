/** What all nodes of a cluster must agree on before they talk to each other. */
import { createHash } from 'node:crypto';

/** SHA-256 over the cluster id and the bootstrap coordinators; their order does not matter. */
export function fingerprintOf(cluster: string, coordinators: readonly string[]): string {
  const text = ['idunno-cluster-1', cluster, ...[...coordinators].sort()].join('\n');
  return createHash('sha256').update(text).digest('hex');
}
