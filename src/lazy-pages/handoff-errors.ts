/** What is said of a restore that went wrong while its tasks were handed over. */
import { errnoCode, ThawError } from '../errors.js';
import type { HandoffOutcome } from '../servicer/handoff.js';
import type { ServedImage } from './served-image.js';

/** The error of a handoff that did not end with all tasks restored. */
export function handoffError(
  outcome: HandoffOutcome,
  image: ServedImage,
  silenceMs: number,
): ThawError {
  const { how, word, fds, errno } = outcome;
  switch (how) {
    case 'hungUp':
      return hangUpError(outcome, image);
    case 'halfMessage':
      return malformed('it ended in the middle');
    case 'strayFds':
      return malformed('a descriptor that belongs to no task');
    case 'notOneFd':
      return malformed(`${fds} descriptors for task ${word}`);
    case 'stranger':
      return word === 0 ? malformed('pid 0') : strangerError(word, image);
    case 'restored':
    case 'tooEarly':
      return earlyError(outcome, image);
    case 'silent':
      return silenceError(outcome.announced, image, silenceMs);
    case 'noDescriptors':
      return new ThawError('EMFILE', {
        what: 'a descriptor that came over the lazy-pages socket could not be received',
        hint: 'Raise the limit of open files (ulimit -n), or end some of the restores that are under way',
      });
    case 'notUffd':
    case 'notServed':
    case 'sourceLost':
      return new ThawError('PAGER_REFUSED', {
        what:
          how === 'notUffd'
            ? `the pager refused task ${word}: the descriptor is not a userfaultfd`
            : `the pager refused task ${word}`,
        ...(errno === 0 ? {} : { found: errnoCode(errno) ?? `errno ${errno}` }),
      });
  }
}

function hangUpError({ announced }: HandoffOutcome, image: ServedImage): ThawError {
  return new ThawError('RESTORE_FAILED', {
    what: 'criu restore ended before it had restored all tasks',
    expected: `${image.taskCount} tasks, then the word that all are restored`,
    found: `${announced} tasks, then the end`,
    where: image.directory,
    hint: 'The log of `criu restore` says why (lines with `Error`)',
  });
}

function earlyError({ announced }: HandoffOutcome, image: ServedImage): ThawError {
  return new ThawError('HANDOFF_MALFORMED', {
    what: 'the restore was said to be over before all of its tasks were there',
    expected: `${image.taskCount} tasks`,
    found: String(announced),
    where: image.directory,
  });
}

/** The error of a peer that said too little for too long. */
export function silenceError(announced: number, image: ServedImage, silenceMs: number): ThawError {
  return new ThawError('TIMED_OUT', {
    what: `the restore went silent for ${silenceMs / 1000} s`,
    expected: `${image.taskCount} tasks`,
    found: `${announced} announced`,
    where: image.directory,
    hint: 'Look at the log of `criu restore`: is it stopped, or waiting for something?',
  });
}

function strangerError(word: number, image: ServedImage): ThawError {
  return new ThawError('HANDOFF_MALFORMED', {
    what: 'a task was announced that the image does not have so',
    expected: 'each task of the image once',
    found: word < 0 ? `zombie ${-word}` : `task ${word}`,
    where: image.directory,
    hint: 'Is `criu restore` restoring another image directory (-D) than the one served here?',
  });
}

function malformed(found: string): ThawError {
  return new ThawError('HANDOFF_MALFORMED', {
    what: 'what came over the lazy-pages socket is not what criu restore sends',
    expected: 'pids, each with one userfaultfd',
    found,
    hint: 'Only `criu restore --lazy-pages` may connect to this socket',
  });
}
