/**
 * Why a pattern cannot be searched for. Not an IdunnoError, which would bring half the house into
 * the thread of every scan: it would start several times as slowly.
 */
export class PatternError extends Error {
  constructor(why: string) {
    super(`the pattern cannot be used: ${why}`);
    this.name = 'PatternError';
  }
}

export function badPattern(why: string): PatternError {
  return new PatternError(why);
}
