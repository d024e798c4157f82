/** What SDFS brings to the replicated state machine: buckets 10-19, commands and queries. */
import type { StoreModule } from '../store/index.js';
import { SDFS_COMMANDS } from './commands.js';
import { holderIndex } from './holder-index.js';
import { SDFS_QUERIES } from './queries.js';
import { BLOBS, COUNTERS, FILES, INTENTS, TOKENS, TOMBS, VERSIONS } from './tables.js';

export const sdfsModule: StoreModule = {
  name: 'sdfs',
  tables: [FILES, VERSIONS, BLOBS, INTENTS, TOMBS, TOKENS, COUNTERS],
  commands: SDFS_COMMANDS,
  queries: SDFS_QUERIES,
  indexes: [holderIndex],
};
