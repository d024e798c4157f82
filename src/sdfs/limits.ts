/**
 * Sizes and bounds of SDFS on one page, each with what it is for. Raising one of the sizes that
 * are part of the blob format (blockBytes) needs a new format version in blob-format.ts.
 */
import { KIB, MIB } from '../base/index.js';

/** Files of one group commit: 2 rows each, so that a command stays below 256 rows. */
export const GROUP_FILES_MAX = 100;

/** Files up to this size share pack files when many are put at once. */
export const SMALL_FILE_BYTES_MAX = 256 * KIB;

/**
 * Up to this size a file is held in memory and sent to all targets at once; larger ones go along a
 * chain. More than a frozen receiver lets go out before anyone notices (see FORWARD_PIECE_BYTES),
 * so that in a chain a frozen node is always noticed by its silence.
 */
export const FAN_OUT_BYTES_MAX = 512 * KIB;

/** Bytes of one pack file: what a group may hold in memory. */
export const PACK_BYTES_MAX = 8 * MIB;

/** Files up to this size are verified whole before their first byte is handed out. */
export const VERIFY_WHOLE_BYTES_MAX = 1 * MIB;

/** What a chain passes on at a time. This and the network's first window stay below a fan-out. */
export const FORWARD_PIECE_BYTES = 128 * KIB;

/** Chunks that wait for a slower receiver: memory of one hop of a transfer is this many MiB. */
export const FORWARD_CHUNKS_MAX = 4;

/** A checksum per block: what must be read to serve one byte. */
export const BLOCK_BYTES = 64 * KIB;

/** A blob stream is synced this often, so that one big flush does not stall the log's. */
export const SYNC_EVERY_BYTES = 2 * MIB;

/** Rows of a page of a listing, and refs of one location query. */
export const PAGE_ROWS_MAX = 1000;

/** Rows looked at for one page; tombstones and names that no glob matches count here. */
export const PAGE_SCAN_MAX = 5000;

/** Holders of one blob in its record: beyond it a holder that is down makes room. */
export const HOLDERS_MAX = 8;

/** Copies of a blob that may be asked for. */
export const COPIES_MAX = 7;

/** Blobs in one repair or deletion order; intents and tokens closed by one command. */
export const BLOBS_PER_ORDER_MAX = 100;

/**
 * Copies added or dropped by one command. Each may look at its blob, its node and all its blob's
 * holders: 25 × (1 + 1 + 8) rows stay below 256. A pack of 100 files is one copy here.
 */
export const HOLDER_CHANGES_MAX = 25;

/** Files in one call of read-many, and their bytes. */
export const READ_MANY_FILES_MAX = 500;
export const READ_MANY_BYTES_MAX = 16 * MIB;

/** Ids of blobs in one page of a node's inventory. */
export const INVENTORY_PAGE_MAX = 5000;

/** Version rows pruned by one command: 2 rows each. */
export const PRUNE_VERSIONS_MAX = 50;

/** How long an intent stays open without being renewed. */
export const INTENT_TTL_MS = 10 * 60_000;

/** Placement assumes this for a stream of unknown length. */
export const UNKNOWN_BYTES_GUESS = 64 * MIB;
