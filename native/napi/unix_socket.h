// Listening sockets in the file system, for peers that hand descriptors over.
//
// Every call is non-blocking, and takes place on the JavaScript thread. The declarations and their
// contract are in src/native.ts.
#ifndef THAW_NATIVE_NAPI_UNIX_SOCKET_H_
#define THAW_NATIVE_NAPI_UNIX_SOCKET_H_

#include <napi.h>

namespace thaw {

void RegisterUnixSocket(Napi::Env env, Napi::Object exports);

}  // namespace thaw

#endif  // THAW_NATIVE_NAPI_UNIX_SOCKET_H_
