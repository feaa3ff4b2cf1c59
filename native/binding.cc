// Registration of the addon's parts; each part lives in native/napi.
#include <napi.h>

#include "napi/channel.h"

namespace {
Napi::Object Init(Napi::Env env, Napi::Object exports) {
  thaw::RegisterChannel(env, exports);
  return exports;
}
}  // namespace

NODE_API_MODULE(thaw, Init)
