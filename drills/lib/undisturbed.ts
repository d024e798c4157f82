/**
 * A few system calls in a row that nothing may come between. On a busy machine the process that
 * was just sent SIGKILL is scheduled before its killer (its whole memory is torn down on that
 * core), and the next signal leaves tens of milliseconds later: so for that moment this thread
 * takes real-time priority, where that is allowed (root), or else the highest ordinary one.
 */
import { spawnSync } from 'node:child_process';
import { setPriority } from 'node:os';

/** Runs `act`, synchronously, at the highest priority to be had; ordinary priority again after. */
export function undisturbed<T>(act: () => T): T {
  const calmAgain = becomeRealTime() ?? becomeFirst();
  try {
    return act();
  } finally {
    calmAgain();
  }
}

/** SCHED_FIFO for the main thread: only the kernel itself runs before it. */
function becomeRealTime(): (() => void) | undefined {
  if (!schedule('--fifo', '50')) return undefined;
  return () => {
    schedule('--other', '0');
  };
}

function schedule(policy: string, priority: string): boolean {
  const pid = String(process.pid);
  return spawnSync('chrt', [policy, '--pid', priority, pid], { stdio: 'ignore' }).status === 0;
}

function becomeFirst(): () => void {
  try {
    setPriority(-20);
    return () => setPriority(0);
  } catch {
    return () => undefined;
  }
}
