/**
 * Bounds that more than one module must agree on. A bound that only one module needs lives there,
 * beside its reason.
 */
export const KIB = 1024;
export const MIB = 1024 * KIB;

/** Bytes of a file's name in SDFS: names travel in every command, so they stay small. */
export const FILE_NAME_BYTES_MAX = 1 * KIB;

/** What moves at a time when a file is streamed; memory per transfer is a few of these. */
export const CHUNK_BYTES = 1 * MIB;

/** Nodes of one cluster; SWIM is simulated to this size. */
export const NODES_MAX = 1000;

/** Coordinators: each write costs a copy on every one, and quorums beyond 5 buy little. */
export const COORDINATORS_MAX = 9;

/** File operations in flight per node. The other half of the thread pool belongs to LevelDB. */
export const DISK_OPERATIONS_MAX = 8;
