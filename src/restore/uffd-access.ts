/**
 * Which kind of userfaultfd this process and its hosts may open.
 */
import { ThawError } from '../errors.js';
import { UffdBuilder } from '../uffd/uffd-builder.js';

/** What may be opened: `full`, `userModeOnly` (the kernel's own accesses are not served), or none. */
export type UffdAccess = 'full' | 'userModeOnly';

/**
 * Tries what works, the most capable first.
 *
 * @throws UFFD_UNAVAILABLE when nothing does.
 */
export function probeUffdAccess(): UffdAccess {
  for (const userModeOnly of [false, true]) {
    try {
      new UffdBuilder().closeOnExec(true).userModeOnly(userModeOnly).create().close();
      return userModeOnly ? 'userModeOnly' : 'full';
    } catch (error) {
      if (!(error instanceof ThawError) || userModeOnly) throw error;
    }
  }
  throw new ThawError('UFFD_UNAVAILABLE', { what: 'no userfaultfd can be opened' });
}
