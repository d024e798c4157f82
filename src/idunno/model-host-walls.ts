/**
 * What the process of a model may do, as arguments of Node: read the package, its libraries and the
 * model's own folder, load native libraries, and start the one thread of model-host.ts; write no
 * file and start no process. Node enforces it for everything in the process, whatever a model's
 * code finds a way to (https://nodejs.org/api/permissions.html). It does not restrict the network
 * on Node 20, and native code is outside of it: hygiene, not isolation.
 */
import { createRequire } from 'node:module';
import { dirname, join, resolve, sep } from 'node:path';

/** Packages that a host loads; each may lie in a `node_modules` of its own. */
const PACKAGES = ['onnxruntime-node', 'canvas', 'yaml', 'zod', '@node-rs/crc32'] as const;

/** A leak ends its process before it ends the machine. */
const HEAP_MIB_MAX = 1024;

/** Becomes the process itself, so its id is the host's. */
export const ENV_COMMAND = '/usr/bin/env';

/**
 * Arguments of ENV_COMMAND that start `hostFile`. What a tool (a profiler, a test runner) has added
 * to NODE_OPTIONS would run inside the walls and fail at them. `modelDir`: absolute.
 */
export function hostCommand(hostFile: string, modelDir: string, script = hostFile): string[] {
  const node = [process.execPath, ...hostArguments(hostFile, modelDir), script];
  return ['-u', 'NODE_OPTIONS', ...node];
}

function hostArguments(hostFile: string, modelDir: string): string[] {
  return [
    '--experimental-permission',
    '--allow-addons',
    '--allow-worker',
    ...readablePaths(hostFile, modelDir).map((path) => `--allow-fs-read=${path}`),
    '--experimental-vm-modules',
    '--no-warnings',
    `--max-old-space-size=${HEAP_MIB_MAX}`,
  ];
}

function readablePaths(hostFile: string, modelDir: string): string[] {
  const compiled = dirname(dirname(hostFile));
  const { resolve: find } = createRequire(hostFile);
  const libraries = PACKAGES.map((name) => {
    const file = find(name);
    return join(file.slice(0, file.lastIndexOf(`${sep}node_modules${sep}`)), 'node_modules');
  });
  return permittedReads(packageFiles(compiled), [compiled, ...libraries, resolve(modelDir)]);
}

/**
 * Values of --allow-fs-read. A folder permits itself and all below it. What a folder covers is left
 * out: Node 20 aborts where a path is named both alone and as a folder, and forgets parts of a
 * folder that is named together with one inside it (its tree of permitted paths has no node that
 * is an end and a way at once).
 */
export function permittedReads(files: readonly string[], folders: readonly string[]): string[] {
  const isInside = (path: string, folder: string): boolean =>
    path === folder || path.startsWith(`${folder}${sep}`);
  const unique = [...new Set(folders)];
  const widest = unique.filter((path) => !unique.some((o) => o !== path && isInside(path, o)));
  const single = files.filter((path) => !widest.some((folder) => isInside(path, folder)));
  return [...single, ...widest.map((folder) => `${folder}${sep}*`)];
}

/**
 * Node looks into every folder above a module for what kind it is and for its libraries; either
 * may be a link, of which it asks where that leads.
 */
function packageFiles(folder: string): string[] {
  const parent = dirname(folder);
  const names = [join(folder, 'package.json'), join(folder, 'node_modules')];
  return parent === folder ? names : [...names, ...packageFiles(parent)];
}
