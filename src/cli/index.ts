/**
 * What other programs use of the command line: the client of a cluster and the contract it speaks.
 * Nothing here loads the parser or any command.
 */
export type {
  ApiClientOptions,
  ClientCallOptions,
  ClientPutOptions,
  NodeCallOptions,
} from './api-calls.js';
export { ApiClient } from './api-client.js';
export type { NodeAddress } from './api-transport.js';
export * from './contract.js';
export { writeJsonLines } from './json-lines.js';
export { collectSources, type LocalFile, localSource, readModelFolder } from './local-files.js';
export { type PackedFile, type PackLimits, packFiles, unpackFiles } from './pack.js';
export { packageRoot, packageVersion, shippedModelsFolder } from './package-root.js';
export { SHIPPED_MODELS, type TrainOptions, trainShippedModels } from './train.js';
export { PACK_LIMITS, type UploadFile } from './upload.js';
