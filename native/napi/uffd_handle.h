// UffdHandle: owns one userfaultfd for JavaScript and forwards its operations to core/uffd.h.
//
// The contract of each method is in src/native.ts. JavaScript thread only. Lifetime: the descriptor
// is closed by close(), by garbage collection, or when the environment ends, whichever is first.
#ifndef THAW_NATIVE_NAPI_UFFD_HANDLE_H_
#define THAW_NATIVE_NAPI_UFFD_HANDLE_H_

#include <napi.h>

#include "fd.h"
#include "uffd.h"

namespace thaw {

class UffdHandle : public Napi::ObjectWrap<UffdHandle> {
 public:
  static void Register(Napi::Env env, Napi::Object exports);

  explicit UffdHandle(const Napi::CallbackInfo& info);

 private:
  Napi::Value GetFd(const Napi::CallbackInfo& info);
  Napi::Value Release(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
  Napi::Value IsNonBlocking(const Napi::CallbackInfo& info);
  Napi::Value Poll(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);

  Napi::Value Api(const Napi::CallbackInfo& info);
  Napi::Value RegisterRange(const Napi::CallbackInfo& info);
  Napi::Value Unregister(const Napi::CallbackInfo& info);
  Napi::Value Wake(const Napi::CallbackInfo& info);
  Napi::Value WriteProtect(const Napi::CallbackInfo& info);
  Napi::Value Copy(const Napi::CallbackInfo& info);
  Napi::Value Move(const Napi::CallbackInfo& info);
  template <uffd::Result (*kFill)(int, abi::Range, uint64_t)>
  Napi::Value Fill(const Napi::CallbackInfo& info);

  Fd fd_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_NAPI_UFFD_HANDLE_H_
