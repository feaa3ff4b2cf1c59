/** Disks that error, for the pagers of commands that a test starts (test/targets/failing-disk.c). */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('../targets/failing-disk.c', import.meta.url));
const directories: string[] = [];

/** A disk of which reads of pages images fail while it is told to. */
export class FailingDisk {
  readonly #library: string;
  readonly #switch: string;

  constructor() {
    const directory = mkdtempSync(join(tmpdir(), 'thaw-disk-'));
    directories.push(directory);
    this.#library = join(directory, 'failing-disk.so');
    this.#switch = join(directory, 'failing');
    execFileSync('gcc', ['-O1', '-shared', '-fPIC', '-o', this.#library, SOURCE]);
  }

  /** Starts a process on this disk. */
  runOn<T>(start: () => T): T {
    process.env.LD_PRELOAD = this.#library;
    process.env.THAW_TEST_FAILING_DISK = this.#switch;
    try {
      return start();
    } finally {
      delete process.env.LD_PRELOAD;
      delete process.env.THAW_TEST_FAILING_DISK;
    }
  }

  /** Has reads fail from now on. */
  fail(): void {
    writeFileSync(this.#switch, '');
  }

  /** Has them succeed from now on. */
  heal(): void {
    rmSync(this.#switch);
  }
}

/** For `afterAll`. */
export function removeDisks(): void {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
}
