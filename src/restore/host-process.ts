/**
 * A host process: stands in for a task, with the image's regions at their addresses.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { formatVaddr } from '../address.js';
import { errnoCode, ThawError } from '../errors.js';
import { executablePath } from '../executables.js';
import { native, type ReceivedMessage } from '../native.js';
import { Channel } from '../servicer/channel.js';
import { createDeferred, type Deferred } from '../servicer/deferred.js';
import { readAll, writeAll } from './file-bytes.js';
import type { AddressRange } from './gaps.js';

const ANSWER_BYTES = 32;
const REQUEST_BYTES = 16;
const REQUEST_TOUCH = 1;
const STAGE_READY = 0;
/** Longest wait for a host to map its regions, in milliseconds; its eager pages are read in it. */
const READY_MS_MAX = 60_000;

/** Most threads of one touch. Peer: native/host/host_plan.h. */
export const HOST_THREADS_MAX = 64;

/** Flags in the low bits of a touch word. Peer: native/host/host_plan.h. */
export const TOUCH_THROUGH_MEM = 1n;
export const TOUCH_WITHOUT_CRC = 2n;
/** The latency of a page that could not be read (SIGSEGV, SIGBUS, EIO). */
export const TOUCH_FAILED = 0xffffffff;

/** What a host was doing when it failed, by stage. */
const STAGES: readonly string[] = [
  'starting',
  'reading its plan',
  'finding room for itself',
  'unmapping what it started with',
  'mapping a region',
  'writing eager pages',
  'setting the protection of a region',
  'installing guard pages',
  'opening a userfaultfd',
  'registering a region with userfaultfd',
  'touching pages',
];

/** Descriptors and plan that a host starts with. All stay the caller's. */
export interface HostStart {
  readonly planFd: number;
  readonly eagerFd: number;
  /** Objects that regions map; they become descriptors 6 and up. */
  readonly objectFds: readonly number[];
  /** Size of the gap that the host takes for itself. */
  readonly blockBytes: number;
}

/** First descriptor of the objects in a host. */
export const FIRST_OBJECT_FD = 6;

/** What a ready host reports. */
export interface HostReady {
  /** Its userfaultfd, owned by the caller; undefined when nothing is lazy. */
  readonly uffd: number | undefined;
  /** Its own memory, outside every region of the image. */
  readonly block: AddressRange;
  /** madvise calls that this kernel refused (advice only: no content depends on it). */
  readonly refusedHints: number;
}

/** Results of a touch, in the order of its words. */
export interface TouchResults {
  /** Nanoseconds of each first access; {@link TOUCH_FAILED} where it failed. */
  readonly latencyNs: Uint32Array;
  /** zlib's CRC-32 of each page. */
  readonly crc32: Uint32Array;
}

/** Owns the process. It dies with this process, whatever happens. Belongs to one thread. */
export class HostProcess {
  /** The task of the image that it stands in for. */
  readonly imagePid: number;
  readonly #child: ChildProcess;
  readonly #channel: Channel;
  readonly #exited = createDeferred<void>();
  #pidfd = -1;
  #answer: Deferred<ReceivedMessage> | undefined;
  #failure: ThawError | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(imagePid: number, start: HostStart) {
    this.imagePid = imagePid;
    const [ours, theirs] = native.socketpair();
    try {
      this.#child = spawn(executablePath('thaw-host'), [], {
        stdio: [
          'ignore',
          'ignore',
          'ignore',
          theirs,
          start.planFd,
          start.eagerFd,
          ...start.objectFds,
        ],
        // A session of its own: the command ends its hosts itself, in order.
        detached: true,
        env: {},
      });
    } finally {
      native.closeFd(theirs);
    }
    this.#child.once('exit', (code, signal) => {
      this.#fail(this.#endError(code, signal));
      this.#exited.resolve();
    });
    this.#child.once('error', (cause) => {
      this.#fail(
        new ThawError('HOST_START_FAILED', { what: 'a host process did not start', cause }),
      );
      this.#exited.resolve();
    });
    this.#channel = new Channel(ours, ANSWER_BYTES, {
      message: (message) => this.#take(message),
      end: () => {}, // the exit tells more
    });
    if (this.#child.pid !== undefined) this.#pidfd = native.pidfdOpen(this.#child.pid);
  }

  /**
   * Starts a host and waits until every region stands.
   *
   * @throws HOST_FAILED with what it could not do; HOST_LOST when it died.
   */
  static async start(
    imagePid: number,
    start: HostStart,
  ): Promise<{ host: HostProcess; ready: HostReady }> {
    const host = new HostProcess(imagePid, start);
    const timer = setTimeout(() => host.#fail(host.#slowError()), READY_MS_MAX);
    try {
      const message = await host.#nextAnswer();
      const view = new DataView(message.bytes.buffer, message.bytes.byteOffset);
      if (view.getUint32(0, true) !== STAGE_READY || view.getInt32(4, true) !== 0) {
        throw host.#stageError(view);
      }
      const blockStart = view.getBigUint64(16, true);
      return {
        host,
        ready: {
          uffd: message.fds[0],
          block: { start: blockStart, end: blockStart + BigInt(start.blockBytes) },
          refusedHints: view.getUint32(24, true),
        },
      };
    } catch (error) {
      await host.kill();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The host's pid on this machine. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** A pidfd of the host, owned by this object. */
  get pidfd(): number {
    return this.#pidfd;
  }

  /** Why the process ended or failed; undefined while it stands. */
  get failure(): ThawError | undefined {
    return this.#failure;
  }

  /** Resolves when the process has ended. */
  get exited(): Promise<void> {
    return this.#exited.promise;
  }

  /**
   * Touches pages from inside, one first access each, `threads` at a time. `words` are page addresses
   * with touch flags in their low bits. Waits as long as the pages take: end it with {@link kill}.
   * Touches of one host take turns.
   *
   * @throws HOST_LOST when the host dies meanwhile.
   */
  touch(words: BigUint64Array, threads: number): Promise<TouchResults> {
    const results = this.#turn.then(() => this.#request(words, threads));
    this.#turn = results.catch(() => {});
    return results;
  }

  /** Ends the process with SIGKILL (it may wait for a page) and waits for its end. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited.promise;
    this.#channel.close();
    if (this.#pidfd >= 0) native.closeFd(this.#pidfd);
    this.#pidfd = -1;
  }

  async #request(words: BigUint64Array, threads: number): Promise<TouchResults> {
    const count = words.length;
    const listFd = native.createMemfd('thaw-touch', count * 16);
    try {
      writeAll(listFd, new Uint8Array(words.buffer, words.byteOffset, words.byteLength), 0);
      const request = new DataView(new ArrayBuffer(REQUEST_BYTES));
      request.setUint32(0, REQUEST_TOUCH, true);
      request.setUint32(4, threads, true);
      request.setBigUint64(8, BigInt(count), true);
      const answer = this.#nextAnswer();
      this.#channel.send(new Uint8Array(request.buffer), [listFd]);
      const { bytes } = await answer;
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      if (view.getInt32(4, true) !== 0) throw this.#stageError(view);
      const results = new Uint32Array(count * 2);
      readAll(listFd, new Uint8Array(results.buffer), count * 8);
      return {
        latencyNs: results.filter((_, i) => i % 2 === 0),
        crc32: results.filter((_, i) => i % 2 === 1),
      };
    } finally {
      native.closeFd(listFd);
    }
  }

  #nextAnswer(): Promise<ReceivedMessage> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#answer = createDeferred<ReceivedMessage>();
    return this.#answer.promise;
  }

  #take(message: ReceivedMessage): void {
    const waiting = this.#answer;
    this.#answer = undefined;
    if (waiting !== undefined && this.#failure === undefined) waiting.resolve(message);
    else for (const fd of message.fds) native.closeFd(fd);
  }

  #fail(error: ThawError): void {
    this.#failure ??= error;
    this.#answer?.reject(this.#failure);
  }

  #where(): string {
    return `host ${this.pid} of task ${this.imagePid}`;
  }

  #stageError(view: DataView): ThawError {
    const stage = STAGES[view.getUint32(0, true)] ?? 'an unknown stage';
    const errno = view.getInt32(4, true);
    const code = errnoCode(errno) ?? `errno ${errno}`;
    const hint = stageHint(view.getUint32(0, true), code);
    return new ThawError('HOST_FAILED', {
      what: `a host process failed at ${stage}`,
      found: code,
      where: `${this.#where()}, ${formatVaddr(view.getBigUint64(8, true))}`,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  #endError(code: number | null, signal: NodeJS.Signals | null): ThawError {
    return new ThawError('HOST_LOST', {
      what: 'a host process ended',
      found: signal === null ? `exit status ${code}` : signal,
      where: this.#where(),
      hint: 'Was it killed, or the machine out of memory?',
    });
  }

  #slowError(): ThawError {
    return new ThawError('TIMED_OUT', {
      what: `a host process was not ready within ${READY_MS_MAX / 1000} s`,
      where: this.#where(),
      hint: 'Is the image on a very slow disk, or the machine out of memory?',
    });
  }
}

function stageHint(stage: number, code: string): string | undefined {
  if (stage === 3) return 'This kernel seals its own mappings (CONFIG_MSEAL_SYSTEM_MAPPINGS)';
  if (stage === 4 && code === 'ENOMEM') {
    return 'Too many mappings (sysctl vm.max_map_count) or strict overcommit (vm.overcommit_memory)';
  }
  if (stage === 4 && code === 'EPERM') return 'The address is below the sysctl vm.mmap_min_addr';
  if (stage === 7) return 'Guard pages need Linux 6.13 or newer';
  if (stage === 8) return 'Run `thaw check`: it says what this machine lacks';
  return undefined;
}
