/** A validated config as the config file would give it, for nodes on the given ports. */
import { type ClusterConfig, nodeId, PRESETS } from '../../src/base/index.js';

export function membershipConfig(
  ports: readonly number[],
  options: { cluster?: string; preset?: 'local' | 'test'; host?: string } = {},
): ClusterConfig {
  const preset = options.preset ?? 'local';
  return {
    path: '/config.yaml',
    cluster: options.cluster ?? 'membership-test',
    preset,
    coordinators: [nodeId('n1')],
    nodes: ports.map((port, index) => ({
      name: nodeId(`n${index + 1}`),
      host: options.host ?? '127.0.0.1',
      port,
      http: undefined,
      dataDir: `/data/n${index + 1}`,
      labels: {},
      slots: 1,
    })),
    ...PRESETS[preset],
    fingerprint: 'membership-test',
  };
}
