// Compares our numbers and structures with those of the installed <linux/userfaultfd.h>, as far as
// that header knows them (a distribution's is often older than its kernel). All at compile time.
#include "uffd_abi.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include <cstddef>

namespace {

namespace abi = thaw::abi;

#define SAME(ours, theirs) static_assert((ours) == (theirs), #ours " differs from " #theirs)
#define SAME_FIELD(ours, our_field, theirs, their_field)          \
  SAME(offsetof(ours, our_field), offsetof(theirs, their_field)); \
  SAME(sizeof(ours::our_field), sizeof(theirs::their_field))

SAME(abi::kApi, UFFD_API);
SAME(abi::kUserModeOnly, UFFD_USER_MODE_ONLY);

SAME(abi::kFeaturePagefaultFlagWp, UFFD_FEATURE_PAGEFAULT_FLAG_WP);
SAME(abi::kFeatureEventFork, UFFD_FEATURE_EVENT_FORK);
SAME(abi::kFeatureEventRemap, UFFD_FEATURE_EVENT_REMAP);
SAME(abi::kFeatureEventRemove, UFFD_FEATURE_EVENT_REMOVE);
SAME(abi::kFeatureMissingHugetlbfs, UFFD_FEATURE_MISSING_HUGETLBFS);
SAME(abi::kFeatureMissingShmem, UFFD_FEATURE_MISSING_SHMEM);
SAME(abi::kFeatureEventUnmap, UFFD_FEATURE_EVENT_UNMAP);
SAME(abi::kFeatureSigbus, UFFD_FEATURE_SIGBUS);
SAME(abi::kFeatureThreadId, UFFD_FEATURE_THREAD_ID);
SAME(abi::kFeatureMinorHugetlbfs, UFFD_FEATURE_MINOR_HUGETLBFS);
SAME(abi::kFeatureMinorShmem, UFFD_FEATURE_MINOR_SHMEM);
SAME(abi::kFeatureExactAddress, UFFD_FEATURE_EXACT_ADDRESS);
SAME(abi::kFeatureWpHugetlbfsShmem, UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
#ifdef UFFD_FEATURE_WP_UNPOPULATED
SAME(abi::kFeatureWpUnpopulated, UFFD_FEATURE_WP_UNPOPULATED);
#endif
#ifdef UFFD_FEATURE_POISON
SAME(abi::kFeaturePoison, UFFD_FEATURE_POISON);
#endif
#ifdef UFFD_FEATURE_WP_ASYNC
SAME(abi::kFeatureWpAsync, UFFD_FEATURE_WP_ASYNC);
#endif
#ifdef UFFD_FEATURE_MOVE
SAME(abi::kFeatureMove, UFFD_FEATURE_MOVE);
#endif

SAME(abi::kIoctlRegister, 1ULL << _UFFDIO_REGISTER);
SAME(abi::kIoctlUnregister, 1ULL << _UFFDIO_UNREGISTER);
SAME(abi::kIoctlWake, 1ULL << _UFFDIO_WAKE);
SAME(abi::kIoctlCopy, 1ULL << _UFFDIO_COPY);
SAME(abi::kIoctlZeropage, 1ULL << _UFFDIO_ZEROPAGE);
SAME(abi::kIoctlWriteProtect, 1ULL << _UFFDIO_WRITEPROTECT);
SAME(abi::kIoctlContinue, 1ULL << _UFFDIO_CONTINUE);
SAME(abi::kIoctlApi, 1ULL << _UFFDIO_API);

SAME(abi::kRegisterMissing, UFFDIO_REGISTER_MODE_MISSING);
SAME(abi::kRegisterWp, UFFDIO_REGISTER_MODE_WP);
SAME(abi::kRegisterMinor, UFFDIO_REGISTER_MODE_MINOR);
SAME(abi::kCopyDontWake, UFFDIO_COPY_MODE_DONTWAKE);
SAME(abi::kCopyWp, UFFDIO_COPY_MODE_WP);
SAME(abi::kZeropageDontWake, UFFDIO_ZEROPAGE_MODE_DONTWAKE);
SAME(abi::kWriteProtectWp, UFFDIO_WRITEPROTECT_MODE_WP);
SAME(abi::kWriteProtectDontWake, UFFDIO_WRITEPROTECT_MODE_DONTWAKE);
SAME(abi::kContinueDontWake, UFFDIO_CONTINUE_MODE_DONTWAKE);
#ifdef UFFDIO_CONTINUE_MODE_WP
SAME(abi::kContinueWp, UFFDIO_CONTINUE_MODE_WP);
#endif

SAME(abi::kEventPagefault, UFFD_EVENT_PAGEFAULT);
SAME(abi::kEventFork, UFFD_EVENT_FORK);
SAME(abi::kEventRemap, UFFD_EVENT_REMAP);
SAME(abi::kEventRemove, UFFD_EVENT_REMOVE);
SAME(abi::kEventUnmap, UFFD_EVENT_UNMAP);
SAME(abi::kPagefaultWrite, UFFD_PAGEFAULT_FLAG_WRITE);
SAME(abi::kPagefaultWp, UFFD_PAGEFAULT_FLAG_WP);
SAME(abi::kPagefaultMinor, UFFD_PAGEFAULT_FLAG_MINOR);

SAME(abi::kRequestApi, UFFDIO_API);
SAME(abi::kRequestRegister, UFFDIO_REGISTER);
SAME(abi::kRequestUnregister, UFFDIO_UNREGISTER);
SAME(abi::kRequestWake, UFFDIO_WAKE);
SAME(abi::kRequestCopy, UFFDIO_COPY);
SAME(abi::kRequestZeropage, UFFDIO_ZEROPAGE);
SAME(abi::kRequestWriteProtect, UFFDIO_WRITEPROTECT);
SAME(abi::kRequestContinue, UFFDIO_CONTINUE);
SAME(abi::kRequestDeviceNew, USERFAULTFD_IOC_NEW);
#ifdef UFFDIO_POISON
SAME(abi::kIoctlPoison, 1ULL << _UFFDIO_POISON);
SAME(abi::kRequestPoison, UFFDIO_POISON);
SAME(abi::kPoisonDontWake, UFFDIO_POISON_MODE_DONTWAKE);
#endif
#ifdef UFFDIO_MOVE
SAME(abi::kIoctlMove, 1ULL << _UFFDIO_MOVE);
SAME(abi::kRequestMove, UFFDIO_MOVE);
SAME(abi::kMoveDontWake, UFFDIO_MOVE_MODE_DONTWAKE);
SAME(abi::kMoveAllowSrcHoles, UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES);
#endif

SAME(sizeof(abi::Message), sizeof(uffd_msg));
SAME_FIELD(abi::Message, event, uffd_msg, event);
SAME_FIELD(abi::Message, pagefault.flags, uffd_msg, arg.pagefault.flags);
SAME_FIELD(abi::Message, pagefault.address, uffd_msg, arg.pagefault.address);
SAME_FIELD(abi::Message, pagefault.tid, uffd_msg, arg.pagefault.feat.ptid);
SAME_FIELD(abi::Message, fork.ufd, uffd_msg, arg.fork.ufd);
SAME_FIELD(abi::Message, remap.from, uffd_msg, arg.remap.from);
SAME_FIELD(abi::Message, remap.to, uffd_msg, arg.remap.to);
SAME_FIELD(abi::Message, remap.length, uffd_msg, arg.remap.len);
SAME_FIELD(abi::Message, remove.start, uffd_msg, arg.remove.start);
SAME_FIELD(abi::Message, remove.end, uffd_msg, arg.remove.end);
SAME_FIELD(abi::Register, ioctls, uffdio_register, ioctls);
SAME_FIELD(abi::Copy, dst, uffdio_copy, dst);
SAME_FIELD(abi::Copy, mode, uffdio_copy, mode);
SAME_FIELD(abi::Copy, done, uffdio_copy, copy);
SAME_FIELD(abi::RangeFill, done, uffdio_zeropage, zeropage);
SAME_FIELD(abi::RangeFill, done, uffdio_continue, mapped);
SAME_FIELD(abi::WriteProtect, mode, uffdio_writeprotect, mode);

}  // namespace
