// Registration of the addon's parts; each part lives in native/napi.
#include <napi.h>

#include "napi/channel.h"
#include "napi/fd_watcher.h"
#include "napi/system_error.h"

namespace {
Napi::Object Init(Napi::Env env, Napi::Object exports) {
  thaw::RegisterErrors(env, exports);
  thaw::RegisterChannel(env, exports);
  thaw::FdWatcher::Register(env, exports);
  return exports;
}
}  // namespace

NODE_API_MODULE(thaw, Init)
