/**
 * The membership thread: a worker with its own event loop, UDP socket and TCP port, so that a busy
 * main thread is never taken for a dead node. It runs the core and watches the main thread's
 * heartbeat word: a main thread that stands still is gossiped as stalled, which is not death.
 */
import { parentPort, workerData } from 'node:worker_threads';
import {
  asIdunnoError,
  createRealClock,
  createRealDisk,
  createSystemRng,
  type Logger,
  type LogLevel,
  loggerOf,
  type Ms,
  must,
} from '../base/index.js';
import { createRealNetwork } from '../net/index.js';
import { SwimRunner } from './runner.js';
import {
  type FromThread,
  HEARTBEAT_MS,
  machineNow,
  type ThreadData,
  type ToThread,
} from './thread-messages.js';

const port = must(parentPort, 'the port to the main thread');
const data = workerData as ThreadData;
const clock = createRealClock();

function post(message: FromThread): void {
  port.postMessage(message);
}

/** The thread's own time as the machine's, and back to the wall. */
function onMachine(sinceMs: Ms): Ms {
  return machineNow() - (clock.now() - sinceMs);
}

const logger: Logger = loggerOf((level: LogLevel, event, fields) => {
  post({ kind: 'log', level, event, fields });
}, {});

async function main(): Promise<void> {
  const runner = await SwimRunner.start(data, {
    clock,
    rng: createSystemRng(),
    network: createRealNetwork(),
    disk: createRealDisk(),
    logger,
    onMember: (member, before, notable) => {
      const moved = { ...member, sinceMs: onMachine(member.sinceMs) };
      post({ kind: 'member', member: moved, before, notable, atWallMs: clock.wall() });
    },
    onHealth: (score) => post({ kind: 'health', score }),
  });
  const watch = watchHeartbeat(runner);
  port.on('message', (message: ToThread) => {
    if (message.kind === 'stop') clearInterval(watch);
    void answer(runner, message);
  });
  post({ kind: 'ready' });
}

/** Carries out one request. Every request is answered, and `stop` ends the thread. */
async function answer(runner: SwimRunner, request: ToThread): Promise<void> {
  const { id } = request;
  try {
    if (request.kind === 'join') await runner.join();
    else if (request.kind === 'leave') await runner.leave();
    else if (request.kind === 'stop') await runner.stop();
    const evidence = request.kind === 'why' ? runner.why(request.name) : [];
    post({ kind: 'done', id, evidence });
  } catch (error) {
    post({ kind: 'refused', id, error: asIdunnoError(error).toWire() });
  }
  if (request.kind === 'stop') port.close();
}

/**
 * Tells the core for how long the main thread has not moved its word. A look that comes late means
 * that this thread, or the whole process, stood still as well: then the count begins anew.
 */
function watchHeartbeat(runner: SwimRunner): NodeJS.Timeout {
  const word = new Int32Array(data.heartbeat);
  let seen = Atomics.load(word, 0);
  let movedMs = clock.now();
  let lookedMs = movedMs;
  return setInterval(() => {
    const now = clock.now();
    const beat = Atomics.load(word, 0);
    if (beat !== seen || now - lookedMs > 2 * HEARTBEAT_MS) movedMs = now;
    seen = beat;
    lookedMs = now;
    // Up to two beats apart the word tells nothing.
    const stillMs = now - movedMs;
    runner.stalled(stillMs > 2 * HEARTBEAT_MS ? stillMs : 0);
  }, HEARTBEAT_MS);
}

main().catch((error: unknown) => {
  post({ kind: 'failed', error: asIdunnoError(error).toWire() });
  port.close();
});
