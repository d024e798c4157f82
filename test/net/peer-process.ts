/** A node of its own process for peer-death.proc.test.ts: answers `echo`, prints its port. */
import { createMemoryLogger, createRealClock, nodeId } from '../../src/base/index.js';
import { createRealNetwork, createRpc } from '../../src/net/index.js';

const [, , port = '0', bootEpoch = '1'] = process.argv;
const clock = createRealClock();
const rpc = createRpc({
  self: { name: nodeId('n2'), kind: 'node', bootEpoch: Number(bootEpoch) },
  cluster: 'test',
  fingerprint: 'f',
  network: createRealNetwork(),
  clock,
  logger: createMemoryLogger(clock),
});
rpc.handle('echo', (args) => ({ value: args }));
console.log(await rpc.listen('127.0.0.1', Number(port)));
