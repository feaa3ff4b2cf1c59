/** Encodes pages on several cores. */
import { Worker } from 'node:worker_threads';
import { ThawError } from '../errors.js';
import { type EncodedBlocks, encodeBlocks } from './block-encoder.js';
import type { EncodeRequest } from './encoder-worker.js';

/** The built worker: found by the same way from `src` (tests) and from `dist`. */
const WORKER_FILE = new URL('../../dist/pack/encoder-worker.js', import.meta.url);

interface Waiter {
  readonly resolve: (encoded: EncodedBlocks) => void;
  readonly reject: (error: ThawError) => void;
}

/** One worker thread with what it still owes. */
interface Thread {
  readonly worker: Worker;
  readonly waiters: Waiter[];
}

/**
 * Some worker threads; with one job the calling thread does the work itself. Threads start when they
 * are first needed.
 */
export class EncoderPool {
  readonly #threads: Thread[] = [];

  /**
   * @param jobs number of threads.
   * @param checksummed whether blocks get checksums.
   */
  constructor(
    readonly jobs: number,
    readonly checksummed: boolean,
  ) {}

  /**
   * Encodes `pages` as {@link encodeBlocks} does; the memory of `pages` belongs to the pool then.
   *
   * @throws ThawError SYSCALL_FAILED if a thread has ended.
   */
  async encode(pages: Uint8Array<ArrayBuffer>, blockPages: number): Promise<EncodedBlocks> {
    const { checksummed } = this;
    if (this.jobs === 1 || blockPages === 0) return encodeBlocks(pages, blockPages, checksummed);
    const thread = this.#leastBusy();
    return new Promise((resolve, reject) => {
      thread.waiters.push({ resolve, reject });
      const request: EncodeRequest = { pages, blockPages, checksummed };
      thread.worker.postMessage(request, [pages.buffer]);
    });
  }

  /** Ends the threads. What they still owe is refused. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map(({ worker }) => worker.terminate()));
  }

  #leastBusy(): Thread {
    const idle = this.#threads.find(({ waiters }) => waiters.length === 0);
    if (idle !== undefined) return idle;
    if (this.#threads.length < this.jobs) return this.#start();
    return this.#threads.reduce((least, thread) =>
      thread.waiters.length < least.waiters.length ? thread : least,
    );
  }

  #start(): Thread {
    const thread: Thread = { worker: new Worker(WORKER_FILE), waiters: [] };
    thread.worker.on('message', (encoded: EncodedBlocks) => {
      thread.waiters.shift()?.resolve(encoded);
    });
    thread.worker.on('error', (cause) => failWaiters(thread, cause));
    thread.worker.on('exit', () => failWaiters(thread, undefined));
    this.#threads.push(thread);
    return thread;
  }
}

function failWaiters({ waiters }: Thread, cause: unknown): void {
  for (const { reject } of waiters.splice(0)) {
    const what = 'a compression thread ended before its work was done';
    reject(new ThawError('SYSCALL_FAILED', { what, cause }));
  }
}
