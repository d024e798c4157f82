/** Makes a failing input smaller: pieces are dropped, the largest first, then bytes become zero. */

/** A failure that takes long to show is not worth more. */
const TRIES_MAX = 1_500;

/** `fails` must hold for `input`; what is returned fails too. */
export async function shrink(
  input: Uint8Array,
  fails: (candidate: Uint8Array) => Promise<boolean>,
): Promise<Uint8Array> {
  let best = input;
  let tries = 0;
  const attempt = async (candidate: Uint8Array): Promise<boolean> => {
    tries += 1;
    if (tries > TRIES_MAX || !(await fails(candidate))) return false;
    best = candidate;
    return true;
  };
  for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : size >> 1) {
    for (let at = 0; at < best.length; ) {
      const without = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      if (!(await attempt(Uint8Array.from(without)))) at += size;
    }
  }
  for (let at = 0; at < best.length; at += 1) {
    if (best[at] === 0) continue;
    const simpler = Uint8Array.from(best);
    simpler[at] = 0;
    await attempt(simpler);
  }
  return best;
}
