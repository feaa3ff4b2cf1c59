/** Exit statuses of the command. */
export const EXIT = {
  ok: 0,
  /** The work failed; a message on stderr says why. */
  failed: 1,
  /** The command line was wrong. */
  usage: 2,
  /** Ended by SIGINT or SIGTERM: 128 + the signal's number, as a shell reports it. */
  interrupted: 130,
  terminated: 143,
} as const;
