/** Child processes whose memory a test serves: see uffd-target.cc. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, renameSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { native } from '../../src/native.js';
import { Readiness } from '../../src/readiness.js';
import { Uffd } from '../../src/uffd/uffd.js';

const SOURCE = fileURLToPath(new URL('./uffd-target.cc', import.meta.url));
const CORE = fileURLToPath(new URL('../../native/core', import.meta.url));
const BUILD = fileURLToPath(new URL('../../build', import.meta.url));
const O_CLOEXEC_NONBLOCK = 0o2004000;
const DEADLINE_MS = 10_000;

const targets: Target[] = [];

/** SIGKILLs every target of a test. For `afterEach`. */
export async function killTargets(): Promise<void> {
  await Promise.all(targets.splice(0).map((target) => target.kill()));
}

export interface TargetOptions {
  readonly pages: number;
  readonly features?: bigint;
  /** UFFD_USER_MODE_ONLY and so on, beside O_CLOEXEC and O_NONBLOCK. */
  readonly flags?: number;
}

/** Compiles the program where that is due, and returns its path. */
function executable(): string {
  const path = `${BUILD}/uffd-target`;
  const builtMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (builtMs > statSync(SOURCE).mtimeMs) return path;
  mkdirSync(BUILD, { recursive: true });
  // Test files run side by side: each builds its own, the last one stays.
  const own = `${path}.${process.pid}`;
  execFileSync('g++', ['-std=c++17', '-O1', '-D_GNU_SOURCE', `-I${CORE}`, '-o', own, SOURCE]);
  renameSync(own, path);
  return path;
}

export class Target {
  readonly #child: ChildProcess;
  readonly #socket: number;
  readonly #readiness: Readiness;
  readonly #exited: Promise<string>;
  uffd!: Uffd;
  vaddr!: bigint;

  private constructor(child: ChildProcess, socket: number) {
    this.#child = child;
    this.#socket = socket;
    this.#readiness = new Readiness(socket);
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? `${code}`));
    });
  }

  static async start(options: TargetOptions): Promise<Target> {
    const [here, there] = native.socketpair();
    const flags = O_CLOEXEC_NONBLOCK | (options.flags ?? 0);
    const numbers = [(options.features ?? 0n).toString(16), flags.toString(16), `${options.pages}`];
    const child = spawn(executable(), numbers, {
      stdio: ['ignore', 'inherit', 'inherit', there],
    });
    native.closeFd(there);
    const target = new Target(child, here);
    targets.push(target);
    const { text, fds } = await target.#receive();
    target.vaddr = BigInt(text);
    target.uffd = Uffd.fromFd(fds[0] ?? -1);
    return target;
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** The exit code or the signal that ended it. */
  get exited(): Promise<string> {
    return this.#exited;
  }

  /** Sends a command; resolves with its outcome when the target has done it. */
  async run(
    command: string,
    vaddr: bigint,
    argument = 0,
  ): Promise<{ value: bigint; errno: number }> {
    native.sendMessage(this.#socket, Buffer.from(`${command} ${vaddr} ${argument}`), []);
    const [value = '', errno = ''] = (await this.#receive()).text.split(' ');
    return { value: BigInt(value), errno: Number(errno) };
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
    this.#readiness.close();
    native.closeFd(this.#socket);
    this.uffd?.close();
  }

  async #receive(): Promise<{ text: string; fds: readonly number[] }> {
    if ((await this.#readiness.wait({ timeoutMs: DEADLINE_MS })) !== 'ready')
      throw new Error('no answer came');
    const message = native.receiveMessage(this.#socket, 4096);
    if (message === null || message === 'end') throw new Error('the target is gone');
    return { text: Buffer.from(message.bytes).toString(), fds: message.fds };
  }
}
