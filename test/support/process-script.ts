/** Child programs of tests: short scripts that use the package as it is built. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { within } from './process-facts.js';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const running: Script[] = [];

/** SIGKILLs what is left of the scripts of a test. For `afterEach`. */
export async function endScripts(): Promise<void> {
  await Promise.all(running.splice(0).map((script) => script.kill()));
}

/** A module of the package as built, for an import in a script. */
export function builtModule(path: string): string {
  if (!existsSync(DIST)) throw new Error('the package is not built: run `npm run build:ts`');
  return JSON.stringify(`${DIST}${path}`);
}

export interface ScriptOptions {
  /** A program in front of node, with its arguments: `['setarch', 'x86_64', '-R']`. */
  readonly under?: readonly string[];
}

/** A node process that runs a script; what it prints are JSON values, one a line. */
export class Script {
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | string>;
  readonly #closed: Promise<void>;
  readonly #lines: string[] = [];
  #errors = '';
  #notice: () => void = () => {};

  constructor(source: string, { under = [] }: ScriptOptions = {}) {
    const [program = '', ...rest] = [...under, process.execPath];
    this.#child = spawn(program, [...rest, '--input-type=module', '--eval', source], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.push(this);
    let open = '';
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (open + text).split('\n');
      open = lines.pop() ?? '';
      this.#lines.push(...lines);
      this.#notice();
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => resolve(signal ?? code ?? -1));
    });
    this.#closed = new Promise((resolve) => this.#child.once('close', () => resolve()));
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** The exit status, or the name of the signal that ended it. */
  async exited(milliseconds = 10_000): Promise<number | string> {
    return within(this.#exited, milliseconds);
  }

  /** What it wrote to stderr so far. */
  get errors(): string {
    return this.#errors;
  }

  /** The next value that it prints. */
  async next(milliseconds = 10_000): Promise<unknown> {
    const line = this.#lines.shift();
    if (line !== undefined) return JSON.parse(line);
    const came = new Promise<void>((resolve) => {
      this.#notice = resolve;
    });
    await within(Promise.race([came, this.#closed]), milliseconds);
    if (this.#lines.length === 0) {
      throw new Error(`the script ended without a value: ${this.#errors}`);
    }
    return this.next(milliseconds);
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}
