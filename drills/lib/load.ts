/** The load that runs while a drill plays its trouble: many small writes, and files. */
import { type Target, target } from '../../src/base/index.js';
import type { ApiClient } from '../../src/cli/index.js';
import { type LocalCluster, pause } from './local-cluster.js';
import { checkFiles, checkSettings, FileWriter, SettingsWriter } from './oracle.js';

const WRITERS = 4;

export interface LoadVerdict {
  readonly targets: readonly Target[];
  readonly fields: Readonly<Record<string, unknown>>;
  readonly problems: readonly string[];
}

export class Load {
  readonly writers: readonly SettingsWriter[];
  readonly #files: FileWriter;

  constructor(client: ApiClient) {
    this.writers = Array.from(
      { length: WRITERS },
      (_, at) => new SettingsWriter(client, `w${at}`, 2),
    );
    this.#files = new FileWriter(client, {
      prefix: 'drill',
      names: 7,
      bytesMax: 20_000,
      filesMax: 100_000,
      pauseMs: 100,
    });
  }

  start(): void {
    for (const writer of this.writers) writer.start();
    this.#files.start();
  }

  /** When the first write was acknowledged after `sinceMs`, whenever it was sent. */
  async ackAfter(sinceMs: number): Promise<number> {
    for (;;) {
      const newest = this.writers.flatMap(({ records }) => records.at(-1)?.ackedAt ?? []);
      const later = newest.filter((ackedAt) => ackedAt > sinceMs);
      if (later.length > 0) return Math.min(...later);
      await pause(5);
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.writers, this.#files].map((writer) => writer.stop()));
  }

  /**
   * Nothing acknowledged is lost, nothing took effect twice, and no call failed: the client repeats
   * what a repetition can cure, so what it gives up is its user's trouble.
   */
  async verdict(cluster: LocalCluster): Promise<LoadVerdict> {
    const records = this.writers.flatMap((writer) => writer.records);
    const settings = await checkSettings(cluster, records);
    const files = await checkFiles(cluster, this.#files.records, { everyNode: false });
    const errors = [...this.writers.flatMap((writer) => writer.errors), ...this.#files.errors];
    const acks = records.flatMap(({ ackedAt }) => ackedAt ?? []).sort((a, b) => a - b);
    const gaps = acks.slice(1).map((at, index) => at - (acks[index] ?? at));
    return {
      targets: [
        target('lost', 'writes', 'equal', 0, settings.lost + files.lost),
        target('duplicated', 'writes', 'equal', 0, settings.duplicated + files.duplicated),
        target('client errors', 'calls', 'equal', 0, errors.length),
      ],
      fields: {
        acknowledged: acks.length,
        fileVersions: this.#files.records.filter(({ version }) => version !== undefined).length,
        longestGapMs: Math.round(Math.max(0, ...gaps)),
        unknown: settings.unknown + files.unknown,
      },
      problems: [...settings.problems, ...files.problems, ...errors.slice(0, 20)],
    };
  }
}
