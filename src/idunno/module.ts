/**
 * What this module brings to the state machine: its tables, indexes, commands and queries.
 */
import type { StoreModule } from '../store/index.js';
import {
  cancelJob,
  compactResults,
  createJob,
  giveUpJob,
  pauseJob,
  resumeJob,
  setBatchSize,
  sweepJob,
} from './command-jobs.js';
import {
  assignModels,
  deployModel,
  loseNode,
  releaseLeases,
  removeModel,
  undeployModel,
} from './command-models.js';
import { work } from './command-work.js';
import { ALL_INDEXES } from './indexes.js';
import { queries } from './queries.js';
import { ALL_TABLES } from './tables.js';

export const idunnoModule: StoreModule = {
  name: 'idunno',
  tables: ALL_TABLES,
  commands: {
    'idunno.model.deploy': deployModel,
    'idunno.model.undeploy': undeployModel,
    'idunno.model.remove': removeModel,
    'idunno.model.assign': assignModels,
    'idunno.node.lost': loseNode,
    'idunno.lease.release': releaseLeases,
    'idunno.job.create': createJob,
    'idunno.job.pause': pauseJob,
    'idunno.job.resume': resumeJob,
    'idunno.job.cancel': cancelJob,
    'idunno.job.give-up': giveUpJob,
    'idunno.job.set-batch-size': setBatchSize,
    'idunno.job.sweep': sweepJob,
    'idunno.results.compacted': compactResults,
    'idunno.work': work,
  },
  queries,
  indexes: ALL_INDEXES,
};
