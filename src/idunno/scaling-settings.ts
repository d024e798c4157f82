/**
 * What operators may set about scaling (`idunno settings put KEY VALUE`). Values that cannot be read
 * count as not set, since a setting may have been written by another version; what a person types
 * is checked before it is stored (checkSetting).
 */
import { IdunnoError, nearest } from '../base/index.js';
import { type ReadView, SETTINGS } from '../store/index.js';
import { MODELS_PER_WORKER } from './assignment.js';

export interface ScalingSettings {
  /** Rates of two models that differ by more are a reason to add a worker; undefined: never. */
  readonly thresholdPercent: number | undefined;
  /** Models that one worker loads at most. */
  readonly modelsPerWorker: number;
  /** A model without jobs for so long gives back what the rule added. */
  readonly idleMinutes: number;
}

const DEFAULT_THRESHOLD_PERCENT = 20;
const DEFAULT_IDLE_MINUTES = 10;

interface Rule {
  readonly min: number;
  readonly max: number;
  readonly fallback: number;
  /** May be "off". */
  readonly hasOff: boolean;
}

const KEYS = {
  'scaling.threshold-percent': {
    min: 1,
    max: 100,
    fallback: DEFAULT_THRESHOLD_PERCENT,
    hasOff: true,
  },
  'scaling.models-per-worker': { min: 1, max: 64, fallback: MODELS_PER_WORKER, hasOff: false },
  'scaling.idle-minutes': { min: 1, max: 10_080, fallback: DEFAULT_IDLE_MINUTES, hasOff: false },
} as const satisfies Record<string, Rule>;

type Key = keyof typeof KEYS;

/** The settings as they hold now. */
export function readScaling(view: Pick<ReadView, 'get'>): ScalingSettings {
  const read = (key: Key): number | 'off' => {
    const text = view.get(SETTINGS, [key])?.value;
    return (text === undefined ? undefined : parse(KEYS[key], text)) ?? KEYS[key].fallback;
  };
  const numberOf = (key: Key): number => {
    const value = read(key);
    return value === 'off' ? KEYS[key].fallback : value;
  };
  const threshold = read('scaling.threshold-percent');
  return {
    thresholdPercent: threshold === 'off' ? undefined : threshold,
    modelsPerWorker: numberOf('scaling.models-per-worker'),
    idleMinutes: numberOf('scaling.idle-minutes'),
  };
}

function parse(rule: Rule, text: string): number | 'off' | undefined {
  if (text === 'off') return rule.hasOff ? 'off' : undefined;
  const isWhole = /^\d{1,6}$/.test(text);
  const value = Number(text);
  return isWhole && value >= rule.min && value <= rule.max ? value : undefined;
}

/** Throws BAD_ARGUMENT for a scaling setting that would not be understood; others pass. */
export function checkSetting(key: string, value: string): void {
  if (!key.startsWith('scaling.')) return;
  if (!Object.hasOwn(KEYS, key)) {
    const meant = nearest(key, Object.keys(KEYS));
    const hint = meant === undefined ? Object.keys(KEYS).join(', ') : `did you mean ${meant}?`;
    throw new IdunnoError('BAD_ARGUMENT', `there is no setting ${key}: ${hint}`, { key });
  }
  const rule = KEYS[key as Key];
  if (parse(rule, value) !== undefined) return;
  const range = `a whole number from ${rule.min} to ${rule.max}${rule.hasOff ? ', or off' : ''}`;
  throw new IdunnoError('BAD_ARGUMENT', `${key} takes ${range}, not "${value}"`, { key });
}
