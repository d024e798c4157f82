/**
 * The membership study from the command line:
 *
 *     node dist/src/sim/swim/main.js [--seeds N] [--from SEED] [--sizes 10,100,1000]
 *         [--loss-s N] [--chaos SEEDS] [-o json]
 *
 * Exit code 0 when every target was met, 1 when one was missed, 2 on wrong arguments.
 */
import { parseArgs } from 'node:util';
import { describeTargets } from '../../base/index.js';
import { describeRows, runStudy } from './study.js';

const USAGE =
  'usage: swim/main.js [--seeds N] [--from SEED] [--sizes 10,100] ' +
  '[--loss-s N] [--chaos SEEDS] [-o json]';

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string', default: '200' },
      from: { type: 'string', default: '1' },
      sizes: { type: 'string', default: '10,100' },
      'loss-s': { type: 'string', default: '120' },
      chaos: { type: 'string', default: '20' },
      output: { type: 'string', short: 'o', default: 'text' },
    },
  });
  const { seeds, from, chaos, sizes } = values;
  const numbers = [seeds, from, chaos, values['loss-s'], ...sizes.split(',')];
  const isSound = numbers.every((text) => /^[1-9]\d{0,5}$/.test(text));
  if (!isSound || !['text', 'json'].includes(values.output)) throw new TypeError('bad argument');
  return {
    seeds: Number(seeds),
    firstSeed: Number(from),
    sizes: sizes.split(',').map(Number),
    lossMs: Number(values['loss-s']) * 1000,
    chaosSeeds: Number(chaos),
    isJson: values.output === 'json',
  };
}

function main(): number {
  let options: ReturnType<typeof parse>;
  try {
    options = parse(process.argv.slice(2));
  } catch {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  const report = runStudy({
    ...options,
    onProgress: (text) => void process.stderr.write(`${text}\n`),
  });
  const text = options.isJson
    ? JSON.stringify(report, null, 2)
    : `${describeTargets(report)}\n${describeRows(report)}`;
  process.stdout.write(`${text}\n`);
  return report.ok ? 0 : 1;
}

process.exitCode = main();
