// Registration of the addon's parts; each part lives in native/napi.
#include <napi.h>

#include "napi/channel.h"
#include "napi/fd_watcher.h"
#include "napi/file_ops.h"
#include "napi/mapping_handle.h"
#include "napi/system_error.h"
#include "napi/tcp_connect.h"
#include "napi/uffd_handle.h"
#include "napi/unix_socket.h"

namespace {
Napi::Object Init(Napi::Env env, Napi::Object exports) {
  thaw::RegisterErrors(env, exports);
  thaw::RegisterChannel(env, exports);
  thaw::FdWatcher::Register(env, exports);
  thaw::UffdHandle::Register(env, exports);
  thaw::MappingHandle::Register(env, exports);
  thaw::RegisterUnixSocket(env, exports);
  thaw::RegisterFileOps(env, exports);
  thaw::RegisterTcpConnect(env, exports);
  return exports;
}
}  // namespace

NODE_API_MODULE(thaw, Init)
