/** src/base/config.ts: the cluster's config file. */
import { parseClusterConfig, type Rng } from '../../src/base/index.js';
import { formatClusterConfig } from '../../src/base/config.js';
import type { FuzzTarget } from '../types.js';
import { dictionaryOf, refusedWith, textOf } from './support.js';

const PATH = '/cluster/config.yaml';

function configText(rng: Rng): string {
  const count = 1 + rng.int(4);
  const nodes = Array.from({ length: count }, (_, at) =>
    [
      `  - name: n${at + 1}`,
      '    host: 127.0.0.1',
      `    port: ${7000 + at}`,
      ...(rng.int(3) === 0 ? [`    http: ${8000 + at}`] : []),
      ...(rng.int(3) === 0 ? ['    labels: {rack: a, "zone": b}'] : []),
      ...(rng.int(3) === 0 ? ['    slots: 2'] : []),
    ].join('\n'),
  );
  const voters = nodes.slice(0, 1 + 2 * Math.floor((count - 1) / 2)).map((_, at) => `n${at + 1}`);
  return [
    '# a cluster',
    'cluster: fuzz-1',
    `preset: ${['local', 'lan', 'test'][rng.int(3)]}`,
    `coordinators: [${voters.join(', ')}]`,
    'nodes:',
    ...nodes,
    '',
  ].join('\n');
}

export const config: FuzzTarget = {
  name: 'config',
  summary: "the cluster's config file (src/base/config.ts)",
  cases: 5_000,
  casesInTests: 200,
  dictionary: dictionaryOf(
    '&a ',
    '*a',
    '*b',
    '<<: ',
    '? ',
    '!!binary ',
    '!!set ',
    '!!merge ',
    '---\n',
    '%YAML 1.1\n',
    '__proto__: ',
    'constructor: ',
    '\t',
    '[',
    '{',
    '}',
    '|\n',
    '>-\n',
    'null',
    '.inf',
    '0x7f',
    '1e99',
    '"',
    "'",
    'raft:\n  heartbeatMs: 1\n',
    'swim: ',
    '\n',
    '  ',
    '- ',
    '\u0000',
    '\ufeff',
  ),
  sample: (rng) => new TextEncoder().encode(configText(rng)),
  check(input) {
    try {
      const read = parseClusterConfig(textOf(input), PATH);
      const again = parseClusterConfig(formatClusterConfig(read), PATH);
      const [a, b] = [JSON.stringify(read), JSON.stringify(again)];
      if (a !== b) throw new Error(`written and read again: ${a} became ${b}`);
      return 'accepted';
    } catch (error) {
      return refusedWith(error, 'BAD_CONFIG');
    }
  },
};
