#include "file_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "system_error.h"

namespace thaw {

namespace {

// punchHole(fd, offset, byteLength)
void PunchHole(const Napi::CallbackInfo& info) {
  const auto offset = info[1].ToNumber().Int64Value();
  const auto byte_length = info[2].ToNumber().Int64Value();
  constexpr int kMode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  while (::fallocate(ToFd(info, 0), kMode, offset, byte_length) != 0) {
    if (errno != EINTR) ThrowSystemError(info.Env(), "fallocate", errno);
  }
}

// tryLock(fd): whether the lock is this open file's now.
Napi::Value TryLock(const Napi::CallbackInfo& info) {
  const bool locked = ::flock(ToFd(info, 0), LOCK_EX | LOCK_NB) == 0;
  if (!locked && errno != EWOULDBLOCK) ThrowSystemError(info.Env(), "flock", errno);
  return Napi::Boolean::New(info.Env(), locked);
}

}  // namespace

void RegisterFileOps(Napi::Env env, Napi::Object exports) {
  exports.Set("punchHole", Napi::Function::New(env, PunchHole));
  exports.Set("tryLock", Napi::Function::New(env, TryLock));
}

}  // namespace thaw
