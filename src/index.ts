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
export { NO_CHECKSUM } from './image/checksums.js';
export {
  type DescribeOptions,
  describeImage,
  type ExtentDescription,
  type ImageDescription,
  type SharedDescription,
  type StoredBytes,
  type TaskBytes,
  type TaskDescription,
  type VmaDescription,
} from './image/describe-image.js';
export type { ImageFile, MemfdFile, RegularFile } from './image/files.js';
export type { ImageOptions } from './image/image-loader.js';
export type { CompressMode, Inventory } from './image/inventory.js';
export type {
  ImageExtent,
  LayeredPagemap,
  PageSpan,
  PayloadPlace,
  RunColumns,
} from './image/layered-pagemap.js';
export type { Pagemap } from './image/pagemap.js';
export type { PagesImage } from './image/pages-image.js';
export type { ImageDirectory } from './image/parent-chain.js';
export type {
  DeadTask,
  LiveTask,
  PageOwner,
  SharedObject,
  StoredRun,
  Task,
} from './image/task.js';
export {
  type ImageVerification,
  type VerifyImageOptions,
  type VerifyProgress,
  verifyImage,
} from './image/verify-image.js';
export type { Vma, VmaClass } from './image/vma.js';
export {
  CheckpointWriter,
  type PagemapName,
  type StorageMode,
  type WriterOptions,
} from './pack/checkpoint-writer.js';
export type { OutputFile } from './pack/output-file.js';
export {
  type PackOptions,
  type PackProgress,
  type PackSummary,
  packImage,
  type UnpackOptions,
  unpackImage,
} from './pack/pack-image.js';
export type { PagemapCounts, WrittenRun } from './pack/pagemap-writer.js';
export {
  CriuPageServer,
  type CriuPageServerEvents,
  type CriuPageServerOptions,
  type ListenAddress,
} from './page-server/criu-page-server.js';
export type { PageSession } from './page-server/page-session.js';
export type { HeaderLayout } from './page-server/wire.js';
export { type PlanOptions, planRestore } from './plan/plan-restore.js';
export {
  type BlockColumns,
  EXTENT_KIND,
  type ExtentColumns,
  type GuardColumns,
  type PagesSource,
  type PlanTotals,
  REGION_KIND,
  type RegionColumns,
  type RestorePlan,
  type SharedPlan,
  type TaskPlan,
} from './plan/restore-plan.js';
export type { WaitLimits } from './readiness.js';
export { type Access, parseAccess } from './restore/access.js';
export type { AddressRange } from './restore/gaps.js';
export { type HostProcess, TOUCH_FAILED, type TouchResults } from './restore/host-process.js';
export { checkMachine, type MachineFinding, type MachineReport } from './restore/machine-check.js';
export {
  Restoration,
  type RestoredTask,
  type StallListeners,
  type TouchSummary,
  type VerifyResult,
} from './restore/restoration.js';
export { type RestoreOptions, restore } from './restore/restore.js';
export type { UffdAccess } from './restore/uffd-access.js';
export type { VerifyCounts } from './restore/verify.js';
export type { LatencyCounts, LatencySummary, TargetFigures } from './servicer/figures.js';
export type { PagerOptions } from './servicer/fill-options.js';
export type { Handoff, HandoffOptions, HandoffOutcome } from './servicer/handoff.js';
export type { PreparedSources } from './servicer/local-sources.js';
export { Pager, type PagerEvents } from './servicer/pager.js';
export type { ErrorAction, OnError } from './servicer/pager-protocol.js';
export { PagerTarget, type PagerTargetEvents, type TargetEnd } from './servicer/pager-target.js';
export {
  CLOSE_COMMAND,
  type RemoteSource,
  type RemoteSourceEvents,
  type RemoteSourceOptions,
  type SourceLoss,
} from './servicer/remote-source.js';
export type { ExpectedTargetOptions, TargetOptions } from './servicer/target-options.js';
export { loadTlsCredentials, type TlsCredentials, type TlsFiles } from './tls-credentials.js';
export { FlagSet, type FlagTable } from './uffd/flag-set.js';
export {
  ContinueMode,
  CopyMode,
  MoveMode,
  PagefaultFlag,
  type PagefaultFlags,
  PoisonMode,
  RegisterMode,
  UffdFeature,
  type UffdFeatures,
  UffdIoctl,
  type UffdIoctls,
  WriteProtectMode,
  ZeropageMode,
} from './uffd/flags.js';
export { IoctlResult } from './uffd/ioctl-result.js';
export { Mapping, type MappingOptions, type Protection } from './uffd/mapping.js';
export type {
  PageAnswer,
  PageProvider,
  ServeFigures,
  ServeOptions,
} from './uffd/page-provider.js';
export { type PageServer, servePages } from './uffd/page-server.js';
export { NewRegion, Region, RegionFlag } from './uffd/region.js';
export { Uffd, type UffdEvent, type UffdOpener } from './uffd/uffd.js';
export { UffdBuilder } from './uffd/uffd-builder.js';
export type {
  ForkEvent,
  PagefaultEvent,
  PlainEvent,
  RemapEvent,
  RemoveEvent,
  UnknownEvent,
  UnmapEvent,
} from './uffd/uffd-event.js';
export type {
  InstallOptions,
  MemorySpan,
  MoveOptions,
  PollResult,
  WakeOptions,
} from './uffd/uffd-options.js';
