/**
 * `npm run drill -- NAME [options]`: puts a cluster of real processes under one kind of trouble and
 * holds it to its promises. Progress goes to stderr, the verdict to stdout.
 */
import { corruptLog } from './corrupt-log.js';
import { addRemoveCoordinators } from './add-remove-coordinators.js';
import { crashDetection } from './crash-detection.js';
import { fullRestart } from './full-restart.js';
import { killLeader } from './kill-leader.js';
import { killThree } from './kill-three.js';
import { rollingRestart } from './rolling-restart.js';
import { scaleUp } from './scale-up.js';
import { readCount, runSuiteCommand, type Suite } from './lib/suite-command.js';

export interface DrillOptions {
  readonly rounds: number | undefined;
  /** A file of config/ or a path; each drill has its own default. */
  readonly config: string | undefined;
  readonly withJobs: boolean;
  readonly say: (text: string) => void;
}

const DRILLS: Readonly<Record<string, Suite<DrillOptions>>> = {
  'kill-leader': {
    summary: 'kill -9 the Raft leader again and again while writes (and tasks) are in flight',
    run: killLeader,
  },
  'kill-three': {
    summary: 'kill three of ten nodes at once while files are put and two jobs run',
    run: killThree,
  },
  'corrupt-log': {
    summary: 'damage the files of a coordinator, or empty its folder, and start it again',
    run: corruptLog,
  },
  'crash-detection': {
    summary: 'how fast every node learns of one crash, and of three neighbours at once',
    run: crashDetection,
  },
  'rolling-restart': {
    summary: 'restart all nodes, one after the other, while writes are in flight',
    run: rollingRestart,
  },
  'full-restart': {
    summary: 'end all nodes at once, killed and in good order, and start them again',
    run: fullRestart,
  },
  'add-remove-coordinators': {
    summary: 'add, remove and replace coordinators, with kill -9 in the middle of the changes',
    run: addRemoveCoordinators,
  },
  'scale-up': {
    summary: 'a model that is warm on one worker lags behind: the rule adds workers',
    run: scaleUp,
  },
};

await runSuiteCommand<DrillOptions>({
  kind: 'drill',
  usage: 'npm run drill -- NAME [--rounds N] [--config FILE] [--with-jobs] [-o table|json]',
  suites: DRILLS,
  options: {
    rounds: { type: 'string' },
    config: { type: 'string' },
    'with-jobs': { type: 'boolean', default: false },
  },
  read: (values, say) => ({
    rounds: readCount(values, 'rounds'),
    config: typeof values['config'] === 'string' ? values['config'] : undefined,
    withJobs: values['with-jobs'] === true,
    say,
  }),
});
