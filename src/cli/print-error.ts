/**
 * Errors on stderr, one line each: `thaw: CODE: message`.
 */
import { ThawError } from '../errors.js';

/** Prints an error. One that is not ours is a defect, and is printed with its stack. */
export function printError(error: unknown): void {
  process.stderr.write(`thaw: ${describe(error)}\n`);
}

/** Prints what is not as it should be, and no failure yet. */
export function printWarning(text: string): void {
  process.stderr.write(`thaw: ${text}\n`);
}

function describe(error: unknown): string {
  if (error instanceof ThawError) return `${error.code}: ${error.message}`;
  if (error instanceof Error) return `unexpected error, please report it: ${error.stack}`;
  const { code, message } = error as { code?: string; message?: string };
  return code === undefined ? String(error) : `${code}: ${message}`;
}
