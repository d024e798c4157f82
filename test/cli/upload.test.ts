/** Many files: packed or streamed by size, a few calls at a time, and what an error leaves. */
import t from 'tap';
import { IdunnoError, nodeId, settle } from '../../src/base/index.js';
import type { PackedFile } from '../../src/cli/index.js';
import { PACK_LIMITS, SMALL_FILE_BYTES_MAX, uploadFiles } from '../../src/cli/upload.js';
import type { PutResult } from '../../src/sdfs/index.js';

function resultOf(name: string, bytes: number): PutResult {
  const holders = [nodeId('n1')];
  return { name, version: 1, bytes, sha256: '', holders, copies: 4, wanted: 4 };
}

class FakeClient {
  readonly packs: string[][] = [];
  readonly streams: string[] = [];
  inFlight = 0;
  inFlightMax = 0;
  failOn: string | undefined;

  async filePut(name: string): Promise<PutResult> {
    this.streams.push(name);
    await this.work([name]);
    return resultOf(name, 1);
  }

  async filePutPack(files: readonly PackedFile[]): Promise<readonly PutResult[]> {
    this.packs.push(files.map(({ name }) => name));
    await this.work(files.map(({ name }) => name));
    return files.map(({ name, bytes }) => resultOf(name, bytes.length));
  }

  private async work(names: readonly string[]): Promise<void> {
    this.inFlight += 1;
    this.inFlightMax = Math.max(this.inFlightMax, this.inFlight);
    await settle();
    this.inFlight -= 1;
    if (this.failOn !== undefined && names.includes(this.failOn)) {
      throw new IdunnoError('DISK_FULL', 'n1 is full');
    }
  }
}

const file = (name: string, bytes: number): PackedFile => ({ name, bytes: Buffer.alloc(bytes) });

t.test('small files share packs, big ones are streamed, within the bounds of a node', async (t) => {
  const client = new FakeClient();
  const files = Array.from({ length: 250 }, (_, at) => file(`s${at}`, 1_000));
  files.splice(10, 0, file('big', SMALL_FILE_BYTES_MAX + 1));
  const done: string[] = [];
  const count = await uploadFiles(client, files, {}, ({ name }) => done.push(name));
  t.equal(count, 251);
  t.equal(new Set(done).size, 251);
  t.same(client.streams, ['big']);
  t.same(client.packs.flat().length, 250);
  t.ok(client.packs.every((names) => names.length <= PACK_LIMITS.filesMax));
  t.ok(client.packs.length >= 2);
});

t.test('packs are cut by bytes, too', async (t) => {
  const client = new FakeClient();
  const files = Array.from({ length: 40 }, (_, at) => file(`s${at}`, SMALL_FILE_BYTES_MAX));
  await uploadFiles(client, files, {}, () => {});
  t.ok(
    client.packs.every((names) => names.length * SMALL_FILE_BYTES_MAX < PACK_LIMITS.totalBytesMax),
  );
});

t.test('a bounded number of calls is in flight', async (t) => {
  const client = new FakeClient();
  const files = Array.from({ length: 60 }, (_, at) => file(`b${at}`, SMALL_FILE_BYTES_MAX + 1));
  await uploadFiles(client, files, {}, () => {});
  t.equal(client.inFlightMax, 4);
});

t.test('sources are opened when their turn comes, and gathered when small', async (t) => {
  const client = new FakeClient();
  let opened = 0;
  const source = {
    name: 'a',
    bytes: 3,
    async *open() {
      opened += 1;
      yield Buffer.from('a');
      yield Buffer.from('bc');
    },
  };
  await uploadFiles(client, [source], {}, () => {});
  t.equal(opened, 1);
  t.same(client.packs, [['a']]);
});

t.test('an error before anything is done is that error', async (t) => {
  const client = new FakeClient();
  client.failOn = 'a';
  await t.rejects(
    uploadFiles(client, [file('a', 1)], {}, () => {}),
    { code: 'DISK_FULL' },
  );
});

t.test('an error after something is done says how much, and that a retry is safe', async (t) => {
  const client = new FakeClient();
  client.failOn = 'b299';
  const files = Array.from({ length: 600 }, (_, at) => file(`b${at}`, 10));
  const done: string[] = [];
  const failed = uploadFiles(client, files, {}, ({ name }) => done.push(name));
  await t.rejects(failed, { code: 'PARTLY_DONE', message: /files were put, then: n1 is full/ });
  t.equal(client.inFlight, 0, 'what was in flight has settled');
  t.ok(done.length > 0 && done.length < 600);
});
