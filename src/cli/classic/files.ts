/** Classic commands about files. Stored versions are shown as `name_vK.ext`, K from 0. */
import { readdir } from 'node:fs/promises';
import { basename, extname, resolve } from 'node:path';
import { IdunnoError } from '../../base/index.js';
import type { PutResult, PutSource } from '../../sdfs/index.js';
import { classicId } from '../commands/member.js';
import { plural } from '../format.js';
import { collectSources, type LocalFile, localSource, writeDownload } from '../local-files.js';
import { renderAsciiTable } from '../output.js';
import { parseWhole } from '../program.js';
import { classicPattern, datasetPattern } from './dataset.js';
import { writeVersions } from './get-versions.js';
import { PROCESS_HEAD } from './members.js';
import { rememberTestData } from './memory.js';
import type { ClassicCommand, ClassicState } from './types.js';

/** More versions than this are not fetched into one file. */
const VERSIONS_MAX = 10_000;
const UPLOAD_FILES_MAX = 1_000_000;

const put: ClassicCommand = {
  name: 'put',
  args: ['localfilename', 'sdfsfilename'],
  summary: 'put a file; if it exists, this is a new version',
  async run(state, [local = '', name = '']) {
    const files = collectSources([local], name, state.cwd);
    for (const result of await upload(state, files)) {
      const copies = `${result.copies}/${result.wanted} copies`;
      state.out.line(`put ${result.name} v${result.version} (${copies})`);
    }
  },
};

const get: ClassicCommand = {
  name: 'get',
  args: ['sdfsfilename', 'localfilename'],
  summary: 'get the newest version of a file',
  async run(state, [name = '', local = '']) {
    const { file, chunks } = await state.client.fileGet(name, { signal: state.signal });
    const path = await writeDownload(file, chunks, resolve(state.cwd, local), () => {});
    state.out.line(`got ${file.name} v${file.version} as ${path}`);
  },
};

const deleteFile: ClassicCommand = {
  name: 'delete',
  args: ['sdfsfilename'],
  summary: 'delete a file with all its versions',
  async run(state, [name = '']) {
    await state.client.fileDelete(name, { signal: state.signal });
    state.out.line(`deleted ${name}`);
  },
};

const ls: ClassicCommand = {
  name: 'ls',
  args: ['sdfsfilename'],
  summary: 'the processes that store a file',
  async run({ client, out, signal }, [name = '']) {
    const file = await client.fileStat(name, undefined, { signal });
    const members = await client.memberList({ signal });
    const ids = file.holders.flatMap((holder) => {
      const member = members.find((candidate) => candidate.name === holder);
      // Whoever has left or failed keeps its record until it is back or replaced, but no one can
      // read there now.
      const isThere = member?.state === 'active' || member?.state === 'suspicious';
      return isThere ? [[classicId(member)]] : [];
    });
    out.line(renderAsciiTable(PROCESS_HEAD, ids));
  },
};

const store: ClassicCommand = {
  name: 'store',
  args: [],
  summary: 'all versions of all files that this node stores, counted from 0',
  async run({ client, node, out, signal }) {
    const files = await client.fileStore(node, { signal });
    const names = files.map((file) => [storedName(file.name, file.version)]);
    out.line(renderAsciiTable(['SDFS File Names'], names));
  },
};

/** The first version of `vm1.log` → `vm1_v0.log`: the classic tables count from 0. */
export function storedName(name: string, version: number): string {
  const extension = extname(name);
  return `${name.slice(0, name.length - extension.length)}_v${version - 1}${extension}`;
}

const getVersions: ClassicCommand = {
  name: 'get-versions',
  args: ['sdfsfilename', 'num-versions', 'localfilename'],
  summary: 'the newest versions in one local file, marked by delimiters',
  async run(state, [name = '', countText = '', local = '']) {
    const count = parseWhole('num-versions', countText, { min: 1, max: VERSIONS_MAX });
    const versions = await state.client.fileVersions(name, count, { signal: state.signal });
    const path = resolve(state.cwd, local);
    await writeVersions(state.client, versions, path, state.signal);
    state.out.line(`got ${plural(versions.length, 'version')} of ${name} as ${path}`);
  },
};

const populate: ClassicCommand = {
  name: 'populate-test-data',
  args: ['datapath', 'prefix'],
  required: 1,
  summary: 'put a local folder as the test data of the next add-job',
  async run(state, [path = '', prefix = basename(resolve(state.cwd, path))]) {
    const dataset = prefix.endsWith('/') ? prefix : `${prefix}/`;
    const { length } = await upload(state, collectSources([path], dataset, state.cwd));
    if (length === 0) throw new IdunnoError('NO_INPUT', `there is no file below ${path}`);
    await rememberTestData(state, dataset);
    state.out.line(`${plural(length, 'file')} of test data stored below ${dataset}`);
  },
};

const uploadData: ClassicCommand = {
  name: 'upload_data',
  args: ['dataset', 'count', 'folder'],
  required: 2,
  summary: 'put local files: lenet.png means lenet.*.png, from here or from a folder',
  async run(state, [dataset = '', countText = '', folder = '.']) {
    const limit = parseWhole('count', countText, { min: 1, max: UPLOAD_FILES_MAX });
    const from = resolve(state.cwd, folder);
    const names = (await namesIn(from)).filter((name) => datasetPattern(dataset).test(name));
    if (names.length === 0) {
      const text = `no file like ${classicPattern(dataset)} in ${from}`;
      throw new IdunnoError('LOCAL_FILE_NOT_FOUND', text);
    }
    const paths = names.slice(0, limit).map((name) => resolve(from, name));
    const { length } = await upload(state, collectSources(paths, '', '/'));
    state.out.line('dataset uploaded successfully');
    state.out.note(`${plural(length, 'file')} like ${classicPattern(dataset)} from ${from}`);
  },
};

/** Sorted, files only. Throws LOCAL_FILE_NOT_FOUND. */
async function namesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => {
    throw new IdunnoError('LOCAL_FILE_NOT_FOUND', `cannot read the folder ${folder}`);
  });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

async function upload(state: ClassicState, files: AsyncIterable<LocalFile>): Promise<PutResult[]> {
  const sources: PutSource[] = [];
  for await (const file of files) sources.push(localSource(file));
  return state.client.filePutMany(sources, { signal: state.signal });
}

export const FILE_COMMANDS: readonly ClassicCommand[] = [
  put,
  get,
  deleteFile,
  ls,
  store,
  getVersions,
  populate,
  uploadData,
];
