// Which descriptors of the pager are in use, and what becomes of the others.
#ifndef THAW_NATIVE_PAGER_DESCRIPTORS_H_
#define THAW_NATIVE_PAGER_DESCRIPTORS_H_

#include "arena.h"

namespace thaw {

// Closes what a worker that died had opened for itself, or received and not recorded: every
// descriptor that is neither named in the arena nor one of `arena`'s own, the control socket or the
// standard streams. The caller is the only one that opens any meanwhile.
void CloseUnrecorded(const Arena& arena);

// Whether `fd` is a userfaultfd, which is non-blocking then: poll(2) answers POLLERR for a blocking
// one, and a read must never hold the fault thread up.
bool PrepareUffd(int fd);

}  // namespace thaw

#endif  // THAW_NATIVE_PAGER_DESCRIPTORS_H_
