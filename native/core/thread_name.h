// Names the calling thread for ps, top and gdb (at most 15 characters).
#ifndef THAW_NATIVE_CORE_THREAD_NAME_H_
#define THAW_NATIVE_CORE_THREAD_NAME_H_

#include <pthread.h>

namespace thaw {

inline void NameThread(const char* name) { ::pthread_setname_np(::pthread_self(), name); }

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_THREAD_NAME_H_
