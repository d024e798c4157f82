/** A peer process that is killed, frozen and restarted, seen from this one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createMemoryLogger, createRealClock, nodeId } from '../../src/base/index.js';
import { createRealNetwork, createRpc } from '../../src/net/index.js';

const N2 = nodeId('n2');
const GUARD_MS = 60_000;
const PEER = fileURLToPath(new URL('./peer-process.js', import.meta.url));

async function startPeer(port: number, bootEpoch: number): Promise<[ChildProcess, number]> {
  const child = spawn(process.execPath, [PEER, String(port), String(bootEpoch)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return [child, Number(line)];
}

t.test(
  'a peer that dies is down, and up again after its restart; a frozen one is neither',
  async (t) => {
    const clock = createRealClock();
    const rpc = createRpc({
      self: { name: 'n1', kind: 'node', bootEpoch: 1 },
      cluster: 'test',
      fingerprint: 'f',
      network: createRealNetwork(),
      clock,
      logger: createMemoryLogger(clock),
    });
    const events: string[] = [];
    let wake: () => void = () => undefined;
    const seen = (event: string) => {
      events.push(event);
      wake();
    };
    rpc.onPeer({
      up: (peer) => seen(`up ${peer.bootEpoch}`),
      down: (peer, reason) => seen(`down ${peer.bootEpoch} ${reason}`),
    });
    const until = async (count: number) => {
      const guard = AbortSignal.timeout(GUARD_MS);
      while (events.length < count && !guard.aborted) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          guard.addEventListener('abort', () => resolve(), { once: true });
        });
      }
    };
    const [first, port] = await startPeer(0, 1);
    t.teardown(() => first.kill('SIGKILL'));
    rpc.setAddress(N2, { host: '127.0.0.1', port });
    rpc.keepConnected([N2]);
    await until(1);
    t.same(events, ['up 1']);

    first.kill('SIGSTOP');
    await t.rejects(rpc.call(N2, 'echo', [1], { timeoutMs: 300 }), { code: 'TIMEOUT' });
    first.kill('SIGCONT');
    // If this process slept so long that the frozen peer's connection was given up, there is a new one.
    const echo = () => rpc.call(N2, 'echo', [2], { timeoutMs: GUARD_MS });
    t.same((await echo().catch(echo)).value, [2]);
    t.same(events, ['up 1'], 'a peer that only slept was never down');

    first.kill('SIGKILL');
    await until(2);
    t.match(events[1], /^down 1 (refused|silent)$/);

    const [second] = await startPeer(port, 2);
    t.teardown(() => second.kill('SIGKILL'));
    await until(3);
    t.equal(events[2], 'up 2');
    t.same((await rpc.call(N2, 'echo', [3], { timeoutMs: GUARD_MS })).value, [3]);
    await rpc.close();
  },
);
