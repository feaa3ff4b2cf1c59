/**
 * Waiting on the event loop until a descriptor is readable.
 */
import { type FdWatcher, native } from './native.js';

/** When a wait gives up. */
export interface WaitLimits {
  /** @default no limit */
  readonly timeoutMs?: number;
  /** Ends the wait early, as a time-out does. */
  readonly signal?: AbortSignal;
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
  wait({ timeoutMs, signal }: WaitLimits = {}): Promise<ReadyState> {
    return new Promise((resolve) => {
      // First, because it throws where the descriptor cannot be watched.
      this.#watcher ??= new native.FdWatcher(this.#fd, () => this.#settleAll('ready'));
      const giveUp = () => settle('given-up');
      const timer = timeoutMs === undefined ? undefined : setTimeout(giveUp, timeoutMs);
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
