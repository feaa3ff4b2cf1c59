/**
 * The pager as the control plane sees it: a process that serves the page faults of many targets.
 */
import { EventEmitter } from 'node:events';
import { PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import { checkMilliseconds } from '../limits.js';
import { native } from '../native.js';
import { encodePlan } from '../plan/plan-columns.js';
import type { PagesSource } from '../plan/restore-plan.js';
import { readTakeovers } from './figures.js';
import { type PagerOptions, toPagerArguments, WINDOW_BYTES_MAX } from './fill-options.js';
import { Handoff, type HandoffOptions } from './handoff.js';
import { LocalSources, type PreparedSources } from './local-sources.js';
import { PagerProcess } from './pager-process.js';
import {
  EVENT,
  HANDOFF_FILL,
  onErrorFlags,
  type PagerPacket,
  REQUEST,
  SOURCE_MAP_AHEAD,
  TARGET_AWAITS_RANGES,
  TARGET_EXPECTED,
  TARGET_HAS_PIDFD,
  toPageAction,
} from './pager-protocol.js';
import { PagerTarget } from './pager-target.js';
import { RemoteSource, type RemoteSourceOptions } from './remote-source.js';
import {
  checkExpectedTarget,
  checkSources,
  checkTarget,
  type ExpectedTargetOptions,
  type TargetOptions,
} from './target-options.js';

/** What a place in a source is called: the byte at which pages begin, for messages. */
type SourceName = (fileOffset: bigint) => string;

/** Events of a {@link Pager}. */
export interface PagerEvents {
  /** A target forked; the child is served from now on. */
  fork: [parent: PagerTarget, child: PagerTarget];
  /**
   * The process that serves was killed, and another went on from where it was; `count` of them did.
   * Targets have waited meanwhile. Events may come twice.
   */
  takeover: [count: number];
  /** The pager ended or does not answer; every target is lost with it. Code PAGER_LOST. */
  lost: [error: ThawError];
}

/**
 * A running pager.
 *
 * Owns its process. One pager serves any number of targets and maps each pages image once for all of
 * them. All calls belong to the thread that started it.
 *
 * @example
 * const pager = await Pager.start();
 * const target = await pager.add({ uffd, plan: plan.tasks[0], sources: plan.sources });
 * await target.fill();
 * await target.finished; // 'resident' or 'gone'
 * await pager.close();
 */
export class Pager extends EventEmitter<PagerEvents> implements AsyncDisposable {
  #process!: PagerProcess;
  #figuresFd = -1;
  readonly #targets = new Map<number, PagerTarget>();
  readonly #sourceNames = new Map<number, readonly SourceName[]>();
  #localSources!: LocalSources;
  readonly #remotes = new Map<number, RemoteSource>();
  readonly #handoffs = new Map<number, Handoff>();
  #nextTargetId = 1;
  #nextHandoffId = 1;
  #lastForkId = 0;
  #nextSourceId = 1;
  #closing: Promise<void> | undefined;

  private constructor() {
    super();
  }

  /**
   * Starts a pager.
   *
   * @param options of its background fill
   * @throws INVALID_ARGUMENT; PAGER_START_FAILED, or NATIVE_MISSING when it was not built.
   */
  static async start(options: PagerOptions = {}): Promise<Pager> {
    const pager = new Pager();
    const started = await PagerProcess.start(toPagerArguments(options), {
      event: (packet) => pager.#dispatch(packet),
      lost: (error) => pager.#lose(error),
    });
    pager.#process = started.process;
    pager.#localSources = new LocalSources(started.process, () => pager.#nextSourceId++);
    pager.#figuresFd = started.figuresFd;
    return pager;
  }

  /**
   * The pid of the pager's first process, and the id of its process group: the pager is three
   * processes, and goes on when any one of them is killed.
   */
  get pid(): number {
    return this.#process.pid;
  }

  /** How often a process that serves was killed and another went on. */
  get takeovers(): number {
    return readTakeovers(this.#figuresFd);
  }

  /**
   * Serves a target from now on.
   *
   * @throws INVALID_ARGUMENT, or EBADF for a descriptor that is not open; PAGER_REFUSED when uffd, plan
   * or sources are not what they should be; PAGES_MISSING when a pages image cannot be opened.
   */
  async add(options: TargetOptions): Promise<PagerTarget> {
    checkTarget(options);
    const { uffd, pidfd, rangesReady = true } = options;
    const flags =
      (pidfd === undefined ? 0 : TARGET_HAS_PIDFD) | (rangesReady ? 0 : TARGET_AWAITS_RANGES);
    return this.#request(options, flags, (planFd) =>
      pidfd === undefined ? [uffd, planFd] : [uffd, planFd, pidfd],
    );
  }

  /**
   * Hands pages images over ahead of the targets that name them: until something is to be filled, the
   * pager maps what stands of them in the page cache, for about 80 ms a GiB. Without it targets are
   * served as well, but pages that were not mapped are read, which takes longer; and where no target
   * is there for a while, the next one begins anew.
   *
   * @returns what lets go of them; the end of the pager does so too
   * @throws INVALID_ARGUMENT; PAGES_MISSING when a pages image cannot be opened; PAGER_REFUSED,
   * PAGER_LOST.
   * @example
   * const prepared = await pager.prepare(plan.sources); // then, when a restore begins:
   * const target = await pager.expect({ plan: plan.tasks[0], sources: plan.sources });
   * await prepared.release(); // no restore is to come
   */
  async prepare(sources: readonly PagesSource[]): Promise<PreparedSources> {
    checkSources(sources);
    return this.#localSources.hold(sources, SOURCE_MAP_AHEAD);
  }

  /**
   * Prepares for a target whose uffd and pidfd CRIU hands over: by {@link handOff}, which has it served.
   *
   * @throws INVALID_ARGUMENT; PAGER_REFUSED when plan or sources are not what they should be;
   * PAGES_MISSING when a pages image cannot be opened.
   */
  async expect(options: ExpectedTargetOptions): Promise<PagerTarget> {
    checkExpectedTarget(options);
    return this.#request(options, TARGET_EXPECTED, (planFd) => [planFd]);
  }

  /**
   * Has the pager take expected targets over from `criu restore --lazy-pages`.
   *
   * @throws INVALID_ARGUMENT; PAGER_REFUSED, PAGER_LOST, or EBADF for a descriptor that is not open.
   * @example
   * const target = await pager.expect({ plan: plan.tasks[0], sources: plan.sources });
   * target.once('handedOver', (pid) => console.log(`process ${pid} is served`));
   * const handoff = await pager.handOff({
   *   connection, // accepted from the socket lazy-pages.socket
   *   targets: [target],
   *   zombies: 0,
   *   fill: true,
   *   silenceMs: 120_000,
   * });
   * const { how } = await handoff.ended; // 'restored', or what went wrong
   */
  async handOff(options: HandoffOptions): Promise<Handoff> {
    const { connection, targets, zombies, fill, silenceMs } = options;
    checkMilliseconds('silenceMs', silenceMs);
    const id = this.#nextHandoffId++;
    const handoff = new Handoff(this.#process, id, () => this.#handoffs.delete(id));
    // Known before the pager is: its first event may overtake the answer.
    this.#handoffs.set(id, handoff);
    const request = {
      op: REQUEST.handoff,
      target: id,
      flags: fill ? HANDOFF_FILL : 0,
      a: BigInt(zombies),
      b: BigInt(Math.ceil(silenceMs)),
      ids: targets.map(({ id }) => id),
    };
    try {
      await this.#process.request(request, [connection]);
      return handoff;
    } catch (error) {
      this.#handoffs.delete(id);
      throw error;
    }
  }

  async #request(
    options: ExpectedTargetOptions,
    kind: number,
    fdsWith: (planFd: number) => number[],
  ): Promise<PagerTarget> {
    const { plan, sources, remote, windowBytes = WINDOW_BYTES_MAX } = options;
    const flags = kind | onErrorFlags(options.onError ?? 'poison');
    const planFd = native.createSealedMemfd('thaw-plan', [encodePlan(plan)]);
    try {
      const held = await this.#localSources.hold(sources.filter((source) => !source.remote));
      const id = this.#nextTargetId++;
      // Known before the pager is: its first event may overtake the answer.
      const target = this.#adopt(
        { id, imagePid: plan.pid },
        sources.map((source) =>
          source.remote && remote
            ? () => remote.source.label
            : (offset: bigint) => `${source.path}, byte ${offset}`,
        ),
      );
      target.finished.then(held.release, held.release).catch(() => {});
      const task = {
        op: REQUEST.addTarget,
        target: id,
        flags,
        a: BigInt(remote?.pid ?? plan.pid),
        b: BigInt(windowBytes / PAGE_SIZE),
        ids: sources.map((source) => held.ids.get(source) ?? (remote?.source.id as number)),
      };
      try {
        const answer = await this.#process.request(task, fdsWith(planFd));
        return target.bind(Number(answer.a));
      } catch (error) {
        this.#forget(id);
        target.lose(error);
        throw error;
      }
    } finally {
      native.closeFd(planFd);
    }
  }

  /**
   * Has the pager take pages from a page server, for targets that name it.
   *
   * @throws INVALID_ARGUMENT; PAGER_REFUSED, PAGER_LOST, or EBADF for a descriptor that is not open.
   */
  async addRemoteSource(options: RemoteSourceOptions): Promise<RemoteSource> {
    const id = this.#nextSourceId++;
    const forget = (): void => void this.#remotes.delete(id);
    const source = new RemoteSource(this.#process, id, options, forget);
    this.#remotes.set(id, source);
    try {
      await source.announce();
      return source;
    } catch (error) {
      forget();
      throw error;
    }
  }

  /**
   * Has the pager go on if this process ends, however it does, until every target is resident or
   * gone. What it has to say then goes to `stderr` (duplicated), one line each. May be repeated.
   */
  async outlive(stderr: number): Promise<void> {
    await this.#process.outlive(stderr);
  }

  /**
   * Leaves a pager that outlives this process to itself. What has happened until then is told before
   * this resolves; its targets tell nothing any more.
   *
   * @throws INVALID_ARGUMENT for a pager that is to end with this process; PAGER_LOST.
   */
  async leave(): Promise<void> {
    await this.#process.bidFarewell();
    this.#closing ??= Promise.resolve();
    for (const target of this.#targets.values()) {
      target.keepFigures();
      target.lose(new ThawError('PAGER_LOST', { what: 'the pager was left to itself' }));
    }
    this.#process.leave();
    native.closeFd(this.#figuresFd);
  }

  /** Ends the pager. Targets that are still missing pages are not served any more. */
  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  /** The same as {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #end(): Promise<void> {
    for (const target of this.#targets.values()) {
      target.keepFigures();
      target.lose(new ThawError('PAGER_LOST', { what: 'the pager was closed' }));
    }
    await this.#process.close();
    native.closeFd(this.#figuresFd);
  }

  #adopt(
    identity: { readonly id: number; readonly imagePid: number },
    sourceNames: readonly SourceName[],
  ): PagerTarget {
    const { id } = identity;
    const target = new PagerTarget(this.#process, this.#figuresFd, identity, () =>
      this.#forget(id),
    );
    this.#targets.set(id, target);
    this.#sourceNames.set(id, sourceNames);
    return target;
  }

  #forget(id: number): void {
    this.#targets.delete(id);
    this.#sourceNames.delete(id);
  }

  #dispatch(packet: PagerPacket): void {
    if (packet.eventKind === EVENT.tookOver) {
      for (const target of this.#targets.values()) target.askAgain();
      this.emit('takeover', Number(packet.a));
      return;
    }
    if (packet.eventKind === EVENT.sourceLost || packet.eventKind === EVENT.sourceClosed) {
      this.#dispatchSource(packet);
      return;
    }
    if (packet.eventKind === EVENT.handoffEnd) {
      this.#handoffs.get(packet.target)?.finish(packet);
      return;
    }
    const target = this.#targets.get(packet.target);
    if (target === undefined) return;
    switch (packet.eventKind) {
      case EVENT.resident:
        target.finish('resident');
        break;
      case EVENT.gone:
        target.finish('gone');
        break;
      case EVENT.handedOver:
        target.arrive(Number(packet.a));
        break;
      case EVENT.forked: {
        // Ids rise: what was heard of before is told again.
        if (Number(packet.a) <= this.#lastForkId) break;
        this.#lastForkId = Number(packet.a);
        const names = this.#sourceNames.get(target.id) ?? [];
        const child = this.#adopt({ id: Number(packet.a), imagePid: target.imagePid }, names);
        // Its figures are kept here: a target that forks again and again must not fill the pager.
        const letGo = (): Promise<void> => child.drop();
        child.finished.then(letGo).catch(() => {});
        this.emit('fork', target, child.bind(Number(packet.b)));
        break;
      }
      case EVENT.pageError: {
        const source = this.#sourceNames.get(target.id)?.[Number(packet.c)];
        target.tellOfPages({
          vaddr: packet.a,
          pageCount: Number(packet.b),
          where: source?.(packet.d) ?? 'unknown pages image',
          errno: packet.errno,
          action: toPageAction(packet.e),
        });
        break;
      }
      case EVENT.prefetchDone:
      case EVENT.settled:
        target.followUp(Number(packet.a));
        break;
    }
  }

  #dispatchSource(packet: PagerPacket): void {
    const source = this.#remotes.get(packet.target);
    if (packet.eventKind === EVENT.sourceLost) {
      source?.lose(packet.errno, Number(packet.b), packet.c > 0n);
      return;
    }
    source?.finish(packet.errno);
  }

  #lose(error: ThawError): void {
    for (const target of this.#targets.values()) target.lose(error);
    for (const handoff of this.#handoffs.values()) handoff.lose(error);
    this.emit('lost', error);
  }
}
