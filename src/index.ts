/**
 * Thaw: lazy restore of process checkpoints.
 *
 * @packageDocumentation
 */
export { formatRange, formatVaddr, PAGE_SIZE, toPageNumber, toVaddr } from './address.js';
export {
  type ErrnoCode,
  type ErrorCode,
  type ErrorParts,
  errnoCode,
  type ImageErrorCode,
  type RestoreErrorCode,
  type SystemErrorCode,
  type SystemFailure,
  ThawError,
} from './errors.js';
export { Checkpoint } from './image/checkpoint.js';
export { planRestore } from './plan/plan-restore.js';
export { type Access, parseAccess } from './restore/access.js';
export { checkMachine, type MachineFinding, type MachineReport } from './restore/machine-check.js';
export {
  Restoration,
  type RestoredTask,
  type TouchSummary,
  type VerifyResult,
} from './restore/restoration.js';
export { type RestoreOptions, restore } from './restore/restore.js';
export type { VerifyCounts } from './restore/verify.js';
export type { LatencyCounts, LatencySummary, TargetFigures } from './servicer/figures.js';
export { Pager, type PagerEvents, type TargetOptions } from './servicer/pager.js';
export { PagerTarget, type PagerTargetEvents, type TargetEnd } from './servicer/pager-target.js';
