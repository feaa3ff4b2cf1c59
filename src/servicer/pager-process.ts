/**
 * The pager's process and the conversation with it: requests out, answers and events in.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { errnoCode, ThawError } from '../errors.js';
import { executablePath } from '../executables.js';
import { native, type ReceivedMessage } from '../native.js';
import { Channel } from './channel.js';
import { createDeferred, type Deferred } from './deferred.js';
import {
  decodePacket,
  encodeRequest,
  PACKET,
  PACKET_BYTES,
  type PagerPacket,
  type PagerRequest,
  PLAN_ERRORS,
  PROTOCOL_VERSION,
  REFUSALS,
  REQUEST,
} from './pager-protocol.js';

/**
 * Longest wait for the pager's hello or an answer, in milliseconds. It answers from memory; only a
 * stopped process or a machine out of memory takes longer.
 */
const ANSWER_MS_MAX = 10_000;
/** Requests sent and not answered. More wait here, so that the socket never fills up. */
const PENDING_MAX = 16;
/** Index of the refusal whose detail is a plan error. */
const REFUSAL_BAD_PLAN = 6;
const REFUSAL_NO_DESCRIPTORS = 10;

interface Exchange {
  readonly request: PagerRequest;
  readonly fds: readonly number[];
  readonly answer: Deferred<PagerPacket>;
  timer?: NodeJS.Timeout;
}

/** What the owner of the process is told. */
export interface PagerProcessHandlers {
  event(packet: PagerPacket): void;
  lost(error: ThawError): void;
}

/** Owns the process and its socket. Belongs to one thread. */
export class PagerProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  /** The socket's other end is closed: with the last of the pager's processes. */
  readonly #ended = createDeferred<void>();
  readonly #channel: Channel;
  readonly #handlers: PagerProcessHandlers;
  readonly #hello = createDeferred<number>();
  readonly #sent = new Map<number, Exchange>();
  readonly #queue: Exchange[] = [];
  #nextRequestId = 1;
  #outlives = false;
  /** Whether the hello came; a worker that took over at once may say it again. */
  #greeted = false;
  #failure: ThawError | undefined;

  private constructor(args: readonly string[], handlers: PagerProcessHandlers) {
    this.#handlers = handlers;
    const path = executablePath('thaw-pager');
    const [ours, theirs] = native.socketpair();
    try {
      // A session of its own: a Ctrl-C at the terminal must not end the pager before its targets.
      this.#child = spawn(path, args, {
        stdio: ['ignore', 'ignore', 'inherit', theirs],
        detached: true,
      });
    } finally {
      native.closeFd(theirs);
    }
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', () => resolve());
      this.#child.once('error', (cause) => {
        this.#fail(new ThawError('PAGER_START_FAILED', { what: `${path} did not start`, cause }));
        resolve();
      });
    });
    this.#channel = new Channel(ours, PACKET_BYTES, {
      message: (message) => this.#receive(message),
      end: (cause) => {
        this.#ended.resolve();
        this.#fail(this.#lostError(cause));
      },
    });
  }

  /** Starts a pager; `figuresFd` is its shared memory, owned by the caller. */
  static async start(
    args: readonly string[],
    handlers: PagerProcessHandlers,
  ): Promise<{ process: PagerProcess; figuresFd: number }> {
    const process = new PagerProcess(args, handlers);
    const timer = setTimeout(
      () => process.#fail(process.#timeoutError('say hello')),
      ANSWER_MS_MAX,
    );
    try {
      return { process, figuresFd: await process.#hello.promise };
    } catch (error) {
      await process.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * The pid of the process that was started, which is also the id of the process group that the
   * pager's processes are. The pager lives on when this process alone is killed.
   */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Reserves a request id, for requests that are answered by an event as well. */
  takeRequestId(): number {
    return this.#nextRequestId++;
  }

  /**
   * Sends a request and waits for its answer.
   *
   * @throws PAGER_REFUSED when the pager says no, PAGER_LOST when it is gone or silent.
   */
  request(
    request: Omit<PagerRequest, 'requestId'> & { readonly requestId?: number },
    fds: readonly number[] = [],
  ): Promise<PagerPacket> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const requestId = request.requestId ?? this.takeRequestId();
    const exchange: Exchange = {
      request: { ...request, requestId },
      fds,
      answer: createDeferred(),
    };
    this.#queue.push(exchange);
    this.#pump();
    return exchange.answer.promise;
  }

  /** The same for what ends with the pager anyway: false when the pager is gone, or not ours any more. */
  async requestUnlessLost(request: Omit<PagerRequest, 'requestId'>): Promise<boolean> {
    try {
      await this.request(request);
      return true;
    } catch (error) {
      if (!(error instanceof ThawError && error.code === 'PAGER_LOST')) throw error;
      return false;
    }
  }

  /** Has the process go on without us, with `stderr` as its own, while targets are missing pages. */
  async outlive(stderr: number): Promise<void> {
    this.#outlives = true;
    await this.request({ op: REQUEST.outlive, target: 0 }, [stderr]);
  }

  /** Resolves once a process that outlives us has said everything, and goes on alone. */
  async bidFarewell(): Promise<void> {
    if (!this.#outlives) {
      throw new ThawError('INVALID_ARGUMENT', {
        what: 'the pager is to end with this process, and cannot be left to itself',
        expected: 'a pager of which outlive() was called',
      });
    }
    await this.request({ op: REQUEST.leave, target: 0 });
  }

  /** Lets go of a process that outlives us. */
  leave(): void {
    this.#fail(new ThawError('PAGER_LOST', { what: 'the pager was left to itself' }), true);
    this.#channel.close();
    this.#child.unref();
  }

  /** Ends all processes. Targets that are still missing pages are not served any more. */
  async close(): Promise<void> {
    this.#fail(new ThawError('PAGER_LOST', { what: 'the pager was closed' }), true);
    if (this.#outlives) this.#killAll();
    this.#channel.finishSending();
    const limit = setTimeout(() => this.#killAll(), ANSWER_MS_MAX);
    await Promise.all([this.#ended.promise, this.#exited]);
    clearTimeout(limit);
  }

  #killAll(): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // There is none any more.
    }
  }

  #pump(): void {
    this.#channel.keepAlive(this.#sent.size + this.#queue.length > 0);
    while (this.#sent.size < PENDING_MAX) {
      const exchange = this.#queue[0];
      if (exchange === undefined) return;
      try {
        if (!this.#channel.send(encodeRequest(exchange.request), exchange.fds)) return;
      } catch (error) {
        // The caller's descriptor, not the pager: only this request fails.
        this.#queue.shift();
        exchange.answer.reject(error);
        continue;
      }
      this.#queue.shift();
      this.#sent.set(exchange.request.requestId, exchange);
      exchange.timer = setTimeout(
        () => this.#fail(this.#timeoutError('answer a request')),
        ANSWER_MS_MAX,
      );
    }
  }

  #receive({ bytes, fds }: ReceivedMessage): void {
    const packet = decodePacket(bytes);
    const [fd] = fds;
    if (packet.kind === PACKET.hello && fd !== undefined && !this.#greeted) {
      this.#greeted = true;
      if (Number(packet.a) === PROTOCOL_VERSION) {
        this.#channel.keepAlive(false);
        this.#hello.resolve(fd);
        return;
      }
      native.closeFd(fd);
      this.#fail(
        new ThawError('PAGER_START_FAILED', {
          what: 'the pager speaks another protocol',
          expected: `version ${PROTOCOL_VERSION}`,
          found: `version ${packet.a}`,
          hint: 'The native parts are from another version: run `npm rebuild`',
        }),
      );
      return;
    }
    for (const unexpected of fds) native.closeFd(unexpected);
    if (this.#failure !== undefined) return;
    if (packet.kind === PACKET.event) this.#handlers.event(packet);
    else if (packet.kind === PACKET.answer) this.#settle(packet);
  }

  #settle(packet: PagerPacket): void {
    const exchange = this.#sent.get(packet.requestId);
    if (exchange === undefined) return;
    this.#sent.delete(packet.requestId);
    clearTimeout(exchange.timer);
    if (packet.refusal === 0) exchange.answer.resolve(packet);
    else exchange.answer.reject(refusalError(packet));
    this.#pump();
  }

  #fail(error: ThawError, expected = false): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#channel.keepAlive(false);
    // SIGKILL: a pager that does not answer may not heed anything else.
    if (!expected) this.#killAll();
    this.#hello.reject(error);
    for (const exchange of [...this.#sent.values(), ...this.#queue]) {
      clearTimeout(exchange.timer);
      exchange.answer.reject(error);
    }
    this.#sent.clear();
    this.#queue.length = 0;
    if (!expected) this.#handlers.lost(error);
  }

  #lostError(cause: unknown): ThawError {
    return new ThawError('PAGER_LOST', {
      what: `the pager (pid ${this.pid}) ended`,
      hint: 'Its targets cannot get their missing pages any more; restore them again',
      ...(cause === undefined ? {} : { cause }),
    });
  }

  #timeoutError(what: string): ThawError {
    return new ThawError('PAGER_LOST', {
      what: `the pager (pid ${this.pid}) did not ${what} within ${ANSWER_MS_MAX / 1000} s`,
      hint: 'Is it stopped, or the machine out of memory?',
    });
  }
}

function refusalError(packet: PagerPacket): ThawError {
  const reason = REFUSALS[packet.refusal] ?? `reason ${packet.refusal}`;
  const detail =
    packet.refusal === REFUSAL_BAD_PLAN
      ? (PLAN_ERRORS[Number(packet.a)] ?? `check ${packet.a}`)
      : packet.errno === 0
        ? undefined
        : (errnoCode(packet.errno) ?? `errno ${packet.errno}`);
  const exhausted = packet.refusal === REFUSAL_NO_DESCRIPTORS;
  return new ThawError('PAGER_REFUSED', {
    what: `the pager refused a request: ${reason}`,
    ...(detail === undefined ? {} : { found: detail }),
    ...(exhausted
      ? { hint: 'Raise the limit of open files (ulimit -n): targets take up to three' }
      : {}),
  });
}
