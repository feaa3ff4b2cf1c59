// Connections to a TCP server as plain descriptors, which node:net does not hand out.
#ifndef THAW_NATIVE_NAPI_TCP_CONNECT_H_
#define THAW_NATIVE_NAPI_TCP_CONNECT_H_

#include <napi.h>

namespace thaw {

void RegisterTcpConnect(Napi::Env env, Napi::Object exports);

}  // namespace thaw

#endif  // THAW_NATIVE_NAPI_TCP_CONNECT_H_
