// What the addon keeps for one JavaScript environment (the main thread or one worker).
//
// Lifetime: made when the addon is loaded into the environment, deleted at its end. JavaScript
// thread only.
#ifndef THAW_NATIVE_NAPI_ENV_DATA_H_
#define THAW_NATIVE_NAPI_ENV_DATA_H_

#include <napi.h>

#include <memory>

#include "completions.h"
#include "thread_fds.h"

namespace thaw {

struct EnvData {
  // (syscall, errno) => Error, given by the loader; makes every error that the addon throws.
  Napi::FunctionReference make_error;
  std::shared_ptr<Completions> completions;
  Napi::FunctionReference uffd_constructor;
  ThreadFds fds;
};

inline EnvData& GetEnvData(Napi::Env env) { return *env.GetInstanceData<EnvData>(); }

}  // namespace thaw

#endif  // THAW_NATIVE_NAPI_ENV_DATA_H_
