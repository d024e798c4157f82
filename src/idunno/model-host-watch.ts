/**
 * The thread in a model host that waits for its node to go away: see model-host.ts. The read
 * blocks, costs nothing, and returns when the other end of the pipe is closed, by whatever death.
 */
import { readSync } from 'node:fs';

const LIFELINE_FD = 0;

function waitForEnd(): void {
  const byte = new Uint8Array(1);
  for (;;) {
    try {
      if (readSync(LIFELINE_FD, byte) === 0) return;
    } catch (error) {
      // A pipe that does not block: look again in a while.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250);
    }
  }
}

waitForEnd();
process.kill(process.pid, 'SIGKILL');
