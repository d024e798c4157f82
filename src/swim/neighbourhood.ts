/**
 * What follows from a change of the list: new ring neighbours are probed at once (a neighbour that
 * died together with its other watchers would wait a whole period otherwise), TCP links are kept to
 * the neighbours, and the members are remembered for the next start.
 */
import type { NodeId } from '../base/index.js';
import { REMEMBERED_MAX } from './config.js';
import type { SwimContext } from './context.js';
import type { MemberEntry } from './members.js';
import type { StreamPeer } from './messages.js';
import { ringNeighbours } from './ring.js';

export class Neighbourhood {
  readonly #context: SwimContext;
  readonly #adopt: (entry: MemberEntry) => void;
  #seenVersion = 0;
  #neighbours: readonly NodeId[] = [];
  #linksKey = '';
  #rememberedKey = '';
  #isRememberArmed = false;

  constructor(context: SwimContext, adopt: (entry: MemberEntry) => void) {
    this.#context = context;
    this.#adopt = adopt;
  }

  /** Cheap while nothing has changed. */
  follow(): void {
    const { table, self, agenda, now, timing } = this.#context;
    if (table.version === this.#seenVersion) return;
    this.#seenVersion = table.version;
    const before = this.#neighbours;
    this.#neighbours = ringNeighbours(table.active, self.name);
    for (const name of this.#neighbours) {
      const entry = table.get(name);
      if (entry !== undefined && !before.includes(name)) this.#adopt(entry);
    }
    this.#followLinks();
    this.#context.armGossip();
    if (this.#isRememberArmed) return;
    this.#isRememberArmed = true;
    agenda.push(now + timing.rememberMs, { kind: 'remember' });
  }

  /** The neighbours, where their membership threads listen. */
  links(): StreamPeer[] {
    const peers: StreamPeer[] = [];
    for (const name of this.#neighbours) {
      const entry = this.#context.table.get(name);
      if (entry === undefined || entry.streamPort === 0) continue;
      const { epoch, host, streamPort } = entry;
      peers.push({ name, epoch, host, streamPort });
    }
    return peers;
  }

  /** The last known members, for the next start. An empty list never replaces a fuller one. */
  remember(): void {
    this.#isRememberArmed = false;
    const { table } = this.#context;
    const key = table.digest.join();
    if (table.active.length === 0 || key === this.#rememberedKey) return;
    this.#rememberedKey = key;
    const peers = table.active.slice(0, REMEMBERED_MAX).flatMap((name) => {
      const entry = table.get(name);
      return entry === undefined ? [] : [{ name, host: entry.host, port: entry.port }];
    });
    this.#context.emit({ kind: 'remember', peers });
  }

  #followLinks(): void {
    const peers = this.links();
    const key = peers.map((it) => `${it.name}/${it.epoch}/${it.host}/${it.streamPort}`).join(' ');
    if (key === this.#linksKey) return;
    this.#linksKey = key;
    this.#context.emit({ kind: 'links', peers });
  }
}
