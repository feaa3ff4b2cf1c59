/**
 * Waiting on the event loop until a descriptor is readable.
 */
import { checkMilliseconds } from './limits.js';
import { type FdWatcher, native } from './native.js';

/** When a wait gives up. */
export interface WaitLimits {
  /**
   * From 0 to 2147483647, which is 24 days, or Infinity for no limit.
   * @default Infinity
   */
  readonly timeoutMs?: number;
  /** Ends the wait early, as a time-out does. */
  readonly signal?: AbortSignal;
}

/** @throws ThawError INVALID_ARGUMENT for a time that cannot be waited for. */
export function checkWaitLimits({ timeoutMs = Number.POSITIVE_INFINITY }: WaitLimits): void {
  if (timeoutMs === Number.POSITIVE_INFINITY) return;
  checkMilliseconds('timeoutMs', timeoutMs, ', or Infinity for no limit');
}

/** How a wait ended. */
export type ReadyState = 'ready' | 'given-up' | 'closed';

/**
 * Any number of waits on one descriptor, which the owner closes after this. Costs nothing and does not
 * keep the event loop alive while nobody waits.
 */
export class Readiness {
  readonly #fd: number;
  readonly #waiting = new Set<(state: ReadyState) => void>();
  #watcher: FdWatcher | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Resolves once the descriptor is readable or closed, or the wait gives up. */
  wait(limits: WaitLimits = {}): Promise<ReadyState> {
    const { timeoutMs = Number.POSITIVE_INFINITY, signal } = limits;
    return new Promise((resolve) => {
      // First, because it throws where the descriptor cannot be watched.
      this.#watcher ??= new native.FdWatcher(this.#fd, () => this.#settleAll('ready'));
      const giveUp = () => settle('given-up');
      const timer = Number.isFinite(timeoutMs) ? setTimeout(giveUp, timeoutMs) : undefined;
      signal?.addEventListener('abort', giveUp);
      const settle = (state: ReadyState) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', giveUp);
        this.#waiting.delete(settle);
        if (this.#waiting.size === 0) this.#stop();
        resolve(state);
      };
      this.#waiting.add(settle);
      if (signal?.aborted === true) giveUp();
    });
  }

  /** Ends all waits as `closed`. */
  close(): void {
    this.#settleAll('closed');
  }

  #settleAll(state: ReadyState): void {
    for (const settle of [...this.#waiting]) settle(state);
  }

  #stop(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}
