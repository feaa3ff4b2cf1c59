// MappingHandle: one core MemoryMapping for JavaScript.
//
// Whatever may wait for a page handler runs on a thread of the BlockingPool and settles a promise:
// the JavaScript thread never waits, so it may itself be the handler. The contract of each method
// is in src/native.ts. Lifetime: unmapped by unmap(), else after garbage collection or the
// environment's end, when the last operation on its way is over.
#ifndef THAW_NATIVE_NAPI_MAPPING_HANDLE_H_
#define THAW_NATIVE_NAPI_MAPPING_HANDLE_H_

#include <napi.h>

#include <functional>
#include <memory>

#include "memory_mapping.h"

namespace thaw {

class MappingHandle : public Napi::ObjectWrap<MappingHandle> {
 public:
  static void Register(Napi::Env env, Napi::Object exports);

  explicit MappingHandle(const Napi::CallbackInfo& info);
  ~MappingHandle() override;

 private:
  // What an operation leaves behind, filled in on its thread.
  struct Outcome {
    size_t bytes = 0;
    int error = 0;
    int signal = 0;
    std::unique_ptr<uint8_t[]> data;
  };
  using Operation = std::function<void(MemoryMapping&, Outcome&)>;

  static Napi::Object ToObject(Napi::Env env, const Outcome& outcome, bool with_data);

  Napi::Value GetVaddr(const Napi::CallbackInfo& info);
  Napi::Value GetMemfd(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Write(const Napi::CallbackInfo& info);
  Napi::Value Touch(const Napi::CallbackInfo& info);
  Napi::Value Advise(const Napi::CallbackInfo& info);
  Napi::Value AdviseNow(const Napi::CallbackInfo& info);
  Napi::Value Protect(const Napi::CallbackInfo& info);
  Napi::Value Unmap(const Napi::CallbackInfo& info);

  struct Span {
    uint64_t offset;
    size_t byte_length;
  };
  // Arguments 0 and 1 as a span inside the mapping: memory safety does not rest on the caller.
  Span ToSpan(const Napi::CallbackInfo& info) const;
  void CheckSpan(Napi::Env env, const Span& span) const;
  Napi::Value Start(Napi::Env env, Operation operation, bool with_data = false);

  std::shared_ptr<MemoryMapping> mapping_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_NAPI_MAPPING_HANDLE_H_
