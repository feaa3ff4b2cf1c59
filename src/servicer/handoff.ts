/**
 * One connection over which `criu restore --lazy-pages` hands its tasks to a pager.
 */
import type { ThawError } from '../errors.js';
import { createDeferred } from './deferred.js';
import type { PagerProcess } from './pager-process.js';
import { HANDOFF_ENDS, type PagerPacket, REQUEST } from './pager-protocol.js';
import type { PagerTarget } from './pager-target.js';

/** What {@link Handoff} is made of. */
export interface HandoffOptions {
  /** The connection, a stream socket. The pager gets a duplicate: the caller closes its own. */
  readonly connection: number;
  /** What comes over it: targets of `Pager.expect`. */
  readonly targets: readonly PagerTarget[];
  /** How many zombies are announced besides. */
  readonly zombies: number;
  /** Whether the pager brings in what is missing, once all is restored. */
  readonly fill: boolean;
  /** Longest silence before everything is announced, in milliseconds, from 0 to 2147483647. */
  readonly silenceMs: number;
}

/** How a handoff ended. */
export interface HandoffOutcome {
  /** `restored`: all tasks are there, their ranges are registered, and they run. */
  readonly how: (typeof HANDOFF_ENDS)[number];
  /** Tasks and zombies that were announced. */
  readonly announced: number;
  /** The last word: a task's pid, or that of a zombie below zero. */
  readonly word: number;
  /** Descriptors that came with it, or behind it. */
  readonly fds: number;
  /** Why the pager does not serve a task; 0 otherwise. */
  readonly errno: number;
}

/**
 * A handoff. Made by `Pager.handOff`. Belongs to the thread of its pager.
 *
 * The pager reads the connection: it goes on when this process ends, in the middle too, if it outlives
 * it. Each target that comes emits `handedOver`.
 */
export class Handoff {
  /** The pager's number for it. */
  readonly id: number;
  readonly #process: PagerProcess;
  readonly #forget: () => boolean;
  readonly #ended = createDeferred<HandoffOutcome>();

  /**
   * @param forget has it hear of nothing more; false when that was so before
   * @internal
   */
  constructor(process: PagerProcess, id: number, forget: () => boolean) {
    this.id = id;
    this.#process = process;
    this.#forget = forget;
    this.#ended.promise.catch(() => {});
  }

  /** Resolves when nothing more comes, or rejects with PAGER_LOST; never after {@link drop}. */
  get ended(): Promise<HandoffOutcome> {
    return this.#ended.promise;
  }

  /** Hangs up. Targets that have not come yet are still expected. Harmless when repeated. */
  async drop(): Promise<void> {
    if (!this.#forget()) return;
    await this.#process.request({ op: REQUEST.dropHandoff, target: this.id });
  }

  /** @internal */
  lose(error: ThawError): void {
    this.#ended.reject(error);
  }

  /** @internal */
  finish({ a, b, c, d, errno }: PagerPacket): void {
    this.#forget();
    this.#ended.resolve({
      how: HANDOFF_ENDS[Number(a)] ?? 'notServed',
      announced: Number(b),
      word: Number(BigInt.asIntN(64, c)),
      fds: Number(d),
      errno,
    });
  }
}
