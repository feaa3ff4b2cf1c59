/**
 * SIGINT and SIGTERM as an AbortSignal, so that a command can take down what it started.
 */
import { EXIT } from './exit-status.js';

/** Signals that end a command in order. */
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Listens until `stop()`. A second signal does not wait for the first one's clean-up. */
export class Interruption {
  readonly #controller = new AbortController();
  readonly #listener = (signal: NodeJS.Signals): void => {
    this.exitStatus = signal === 'SIGINT' ? EXIT.interrupted : EXIT.terminated;
    if (this.signal.aborted) process.exit(this.exitStatus);
    this.#controller.abort();
  };
  #alive: NodeJS.Timeout | undefined;
  /** The status to exit with after an interruption. */
  exitStatus: number = EXIT.interrupted;

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#listener);
  }

  /** Aborted by the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Resolves at the first signal. Keeps the process alive until then, or until `stop()`. */
  async wait(): Promise<void> {
    if (this.signal.aborted) return;
    // A pending promise alone does not keep Node alive; signal listeners do not either.
    this.#alive = setInterval(() => {}, 2 ** 30);
    await new Promise((resolve) => this.signal.addEventListener('abort', resolve, { once: true }));
    clearInterval(this.#alive);
  }

  /** Gives the signals back their default effect. */
  stop(): void {
    clearInterval(this.#alive);
    for (const signal of SIGNALS) process.off(signal, this.#listener);
  }
}
