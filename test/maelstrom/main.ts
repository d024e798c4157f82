/** A Maelstrom node as a process: lines in on stdin, lines out on stdout, its log on stderr. */
import { createInterface } from 'node:readline';
import { createRealClock, createSystemRng, loggerOf } from '../../src/base/index.js';
import { LinKvNode } from './lin-kv-node.js';

const node = new LinKvNode({
  clock: createRealClock(),
  rng: createSystemRng(),
  log: loggerOf((level, event, fields) => {
    if (level !== 'debug') process.stderr.write(`${level} ${event} ${JSON.stringify(fields)}\n`);
  }, {}),
  send: (line) => process.stdout.write(`${line}\n`),
  onFatal: (error) => {
    process.stderr.write(`${error.stack ?? error.message}\n`);
    process.exit(70);
  },
});

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => node.onLine(line));
lines.on('close', () => {
  node.stop().then(() => process.exit(0));
});
