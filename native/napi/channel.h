// Descriptors between processes: socket pairs, messages that carry descriptors, memfds, pidfds.
//
// Every call is non-blocking or short, and takes place on the JavaScript thread. The declarations
// and their contract are in src/native.ts.
#ifndef THAW_NATIVE_NAPI_CHANNEL_H_
#define THAW_NATIVE_NAPI_CHANNEL_H_

#include <napi.h>

namespace thaw {

void RegisterChannel(Napi::Env env, Napi::Object exports);

}  // namespace thaw

#endif  // THAW_NATIVE_NAPI_CHANNEL_H_
