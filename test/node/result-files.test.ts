/** Result files among the files of the cluster: names in their place, pages, and what is refused. */
import t from 'tap';
import { IdunnoError, nodeId } from '../../src/base/index.js';
import { type ResultFile, resultFileName } from '../../src/idunno/index.js';
import { FilesWithResults } from '../../src/node/result-files.js';
import type { FileVersion, SdfsClient } from '../../src/sdfs/index.js';

const holders = [nodeId('n1'), nodeId('n2')];

function fileOf(name: string): FileVersion {
  return { name, version: 1, bytes: 1, sha256: 'aa', createdMs: 5, holders };
}

function resultOf(job: number, task: number, isInline: boolean): ResultFile {
  const segment = isInline
    ? undefined
    : { name: `results/${job}/segment-000001.jsonl`, version: 1 };
  const name = resultFileName(job, task);
  return { name, job, task, bytes: 3, sha256: 'bb', createdMs: 7, segment };
}

/** `real` names in SDFS; results of jobs 2 and 10, every second one finished. */
function createFiles(real: readonly string[], pageMax = 1_000): FilesWithResults {
  const names = [...real].sort();
  const sdfs: Partial<SdfsClient> = {
    list: async (prefix, { after = '', limit = 1_000 } = {}) => {
      const found = names.filter((name) => name.startsWith(prefix) && name > after);
      const page = found.slice(0, Math.min(limit, pageMax));
      return {
        files: page.map(fileOf),
        next: found.length > page.length ? page.at(-1) : undefined,
      };
    },
    stat: async (name) => ({ ...fileOf(name), holders: [nodeId('n3')] }),
  };
  const tasks = [2, 10].flatMap((job) => [0, 4, 8, 12, 16].map((task) => [job, task] as const));
  const isFinished = (task: number): boolean => task % 8 === 0;
  return new FilesWithResults({
    sdfs: sdfs as SdfsClient,
    coordinators: () => holders,
    idunno: {
      resultFiles: async ({ job, after, limit = 1_000 }) => {
        const found = tasks
          .filter(([id]) => job === undefined || id === job)
          .filter(([id, task]) => {
            if (after === undefined) return true;
            return id > after.job || (id === after.job && task > after.task);
          });
        const looked = found.slice(0, Math.min(limit, pageMax));
        const last = looked.at(-1);
        return {
          files: looked
            .filter(([, task]) => isFinished(task))
            .map(([id, task]) => resultOf(id, task, id === 10)),
          next:
            last !== undefined && looked.length === Math.min(limit, pageMax)
              ? { job: last[0], task: last[1] }
              : undefined,
        };
      },
      statResult: async (job, task) => {
        if (isFinished(task)) return resultOf(job, task, job === 10);
        throw new IdunnoError('FILE_NOT_FOUND', `there is no ${resultFileName(job, task)}`);
      },
      resultFile: async () => Buffer.from('{}\n'),
    },
  });
}

async function listAll(files: FilesWithResults, prefix: string, limit: number): Promise<string[]> {
  const names: string[] = [];
  let after: string | undefined;
  for (let page = 0; page < 100; page += 1) {
    const found = await files.list(prefix, { limit, ...(after === undefined ? {} : { after }) });
    if (found.files.length > limit) throw new Error('a page that is too long');
    names.push(...found.files.map(({ name }) => name));
    if (found.next === undefined) return names;
    after = found.next;
  }
  throw new Error('the listing does not end');
}

const REAL = ['a', 'b/c', 'results.txt', 'results/2/segment-000001.jsonl', 'results/notes', 'z'];
const RESULTS_2 = [0, 8, 16].map((task) => `results/2/${task}.jsonl`);
const RESULTS_10 = [0, 8, 16].map((task) => `results/10/${task}.jsonl`);

t.test('each listing shows the same names, whatever its pages', async (t) => {
  const wanted: Readonly<Record<string, readonly string[]>> = {
    '': [...REAL.slice(0, 3), ...RESULTS_2, ...RESULTS_10, ...REAL.slice(3)],
    'results/': [...RESULTS_2, ...RESULTS_10, ...REAL.slice(3, 5)],
    'results/2/': [...RESULTS_2, 'results/2/segment-000001.jsonl'],
    'results/10/1': ['results/10/16.jsonl'],
    'results/7/': [],
    res: ['results.txt', ...RESULTS_2, ...RESULTS_10, ...REAL.slice(3, 5)],
    b: ['b/c'],
    z: ['z'],
  };
  for (const [prefix, names] of Object.entries(wanted)) {
    for (const limit of [1, 2, 3, 1_000]) {
      for (const pageMax of [1, 2, 1_000]) {
        const found = await listAll(createFiles(REAL, pageMax), prefix, limit);
        t.same(found, names, `"${prefix}" by ${limit}, ${pageMax} below`);
      }
    }
  }
});

t.test('one is read like a file: from the tables, or from where its bytes lie', async (t) => {
  const files = createFiles(REAL);
  t.match(await files.stat('results/10/8.jsonl'), { version: 1, bytes: 3, sha256: 'bb', holders });
  t.match(await files.stat('results/2/8.jsonl'), { holders: ['n3'] }, 'holders of the segment');
  t.match(await files.versions('results/2/8.jsonl', 5), [{ version: 1 }]);
  const { file, chunks } = await files.get('results/10/0.jsonl', { version: 1 });
  t.equal(file.name, 'results/10/0.jsonl');
  for await (const chunk of chunks) t.equal(Buffer.from(chunk).toString(), '{}\n');
  await t.rejects(files.get('results/10/4.jsonl'), { code: 'FILE_NOT_FOUND' });
  await t.rejects(files.get('results/10/8.jsonl', { version: 2 }), { code: 'VERSION_NOT_FOUND' });
});

t.test('nobody but workers writes them; names beside them are anybody’s', async (t) => {
  const files = createFiles(REAL);
  const source = { name: 'results/2/8.jsonl', bytes: 0, open: () => none() };
  t.throws(() => files.put(source), { code: 'BAD_NAME', message: /job 2: its workers write it/ });
  await t.rejects(files.delete('results/2/8.jsonl'), { code: 'BAD_NAME' });
  for (const name of ['results/2/08.jsonl', 'results/2/x.jsonl', 'results/2/8.jsonl.bak']) {
    t.same((await files.stat(name)).holders, ['n3'], `${name} is a plain file`);
  }
});

async function* none(): AsyncGenerator<Uint8Array> {}
