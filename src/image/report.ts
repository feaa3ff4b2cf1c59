/** What becomes of a problem in an image: the strict reader stops at it, verification goes on. */
import { ThawError } from '../errors.js';

/** Takes a problem. If it returns, the reader leaves out what is wrong and goes on. */
export type Report = (problem: ThawError) => void;

/** The strict way: the first problem is thrown. */
export const raise: Report = (problem) => {
  throw problem;
};

/**
 * The result of `action`, or `undefined` if it failed for a problem of the image, which is reported.
 * Other errors pass through.
 */
export async function attempt<T>(report: Report, action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof ThawError)) throw error;
    report(error);
    return undefined;
  }
}

/** As {@link attempt}, for what is done at once. */
export function attemptSync<T>(report: Report, action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof ThawError)) throw error;
    report(error);
    return undefined;
  }
}
