#include "mapping_handle.h"

#include <errno.h>
#include <fcntl.h>

#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "blocking_pool.h"
#include "env_data.h"
#include "system_error.h"

namespace thaw {

void MappingHandle::Register(Napi::Env env, Napi::Object exports) {
  GetEnvData(env).completions = Completions::Create(env);
  exports.Set("MappingHandle", DefineClass(env, "MappingHandle",
                                           {InstanceAccessor<&MappingHandle::GetVaddr>("vaddr"),
                                            InstanceAccessor<&MappingHandle::GetMemfd>("memfd"),
                                            InstanceMethod<&MappingHandle::Read>("read"),
                                            InstanceMethod<&MappingHandle::Write>("write"),
                                            InstanceMethod<&MappingHandle::Touch>("touch"),
                                            InstanceMethod<&MappingHandle::Advise>("advise"),
                                            InstanceMethod<&MappingHandle::AdviseNow>("adviseNow"),
                                            InstanceMethod<&MappingHandle::Protect>("protect"),
                                            InstanceMethod<&MappingHandle::Unmap>("unmap")}));
}

// new MappingHandle(vaddr, byteLength, protection, memfd): memfd -1 for anonymous memory, else a
// descriptor that is duplicated.
MappingHandle::MappingHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  MemoryMapping::Options options;
  options.vaddr = ToUint64(info, 0);
  options.byte_length = ToSize(info, 1);
  options.protection = static_cast<int>(ToSize(info, 2));
  const int memfd = info[3].ToNumber().Int32Value();
  if (memfd >= 0) {
    options.memfd.Reset(fcntl(memfd, F_DUPFD_CLOEXEC, 0));
    if (!options.memfd.valid()) ThrowSystemError(info.Env(), "fcntl", errno);
  }
  int error = 0;
  mapping_ = MemoryMapping::Create(std::move(options), &error);
  if (mapping_ == nullptr) ThrowSystemError(info.Env(), "mmap", error);
}

MappingHandle::~MappingHandle() {
  if (mapping_ == nullptr) return;
  // munmap(2) waits until its event is read, perhaps by this very thread. Where no thread is to be
  // had, leaving the memory mapped is better than waiting here.
  auto* last = new std::shared_ptr<MemoryMapping>(std::move(mapping_));
  BlockingPool::Instance().Run([last] { delete last; });
}

Napi::Value MappingHandle::GetVaddr(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), mapping_->vaddr());
}

Napi::Value MappingHandle::GetMemfd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), mapping_->memfd());
}

void MappingHandle::CheckSpan(Napi::Env env, const Span& span) const {
  const size_t whole = mapping_->byte_length();
  if (span.offset > whole || span.byte_length > whole - span.offset) {
    throw Napi::RangeError::New(env, "Expected a span inside the mapping");
  }
}

MappingHandle::Span MappingHandle::ToSpan(const Napi::CallbackInfo& info) const {
  const Span span{ToSize(info, 0), ToSize(info, 1)};
  CheckSpan(info.Env(), span);
  return span;
}

Napi::Object MappingHandle::ToObject(Napi::Env env, const Outcome& outcome, bool with_data) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("bytes", static_cast<double>(outcome.bytes));
  object.Set("errno", outcome.error);
  object.Set("signal", outcome.signal);
  if (with_data) {
    Napi::Uint8Array data = Napi::Uint8Array::New(env, outcome.bytes);
    if (outcome.bytes > 0) memcpy(data.Data(), outcome.data.get(), outcome.bytes);
    object.Set("data", data);
  }
  return object;
}

Napi::Value MappingHandle::Start(Napi::Env env, Operation operation, bool with_data) {
  const std::shared_ptr<Completions> completions = GetEnvData(env).completions;
  const auto deferred = Napi::Promise::Deferred::New(env);
  mapping_->Begin();
  const bool started = BlockingPool::Instance().Run(
      [mapping = mapping_, completions, deferred, with_data, operation = std::move(operation)] {
        auto outcome = std::make_shared<Outcome>();
        operation(*mapping, *outcome);
        mapping->End();
        completions->Post([deferred, with_data, outcome](Napi::Env arrival) {
          deferred.Resolve(ToObject(arrival, *outcome, with_data));
        });
      });
  if (!started) {
    mapping_->End();
    ThrowSystemError(env, "pthread_create", EAGAIN);
  }
  completions->Begin(env);
  return deferred.Promise();
}

Napi::Value MappingHandle::Read(const Napi::CallbackInfo& info) {
  const Span span = ToSpan(info);
  return Start(
      info.Env(),
      [span](MemoryMapping& mapping, Outcome& outcome) {
        outcome.data.reset(new (std::nothrow) uint8_t[span.byte_length]);
        if (outcome.data == nullptr) {
          outcome.error = ENOMEM;
          return;
        }
        const auto done = mapping.Read(span.offset, outcome.data.get(), span.byte_length);
        outcome.bytes = done.bytes;
        outcome.signal = done.signal;
      },
      true);
}

// write(offset, bytes): copies `bytes` first, so that the caller may change them at once.
Napi::Value MappingHandle::Write(const Napi::CallbackInfo& info) {
  const Napi::Uint8Array bytes = ToBytes(info, 1);
  const Span span{ToSize(info, 0), bytes.ByteLength()};
  CheckSpan(info.Env(), span);
  std::vector<uint8_t> copy(bytes.Data(), bytes.Data() + bytes.ByteLength());
  return Start(info.Env(),
               [span, copy = std::move(copy)](MemoryMapping& mapping, Outcome& outcome) {
                 const auto done = mapping.Write(span.offset, copy.data(), span.byte_length);
                 outcome.bytes = done.bytes;
                 outcome.signal = done.signal;
               });
}

Napi::Value MappingHandle::Touch(const Napi::CallbackInfo& info) {
  const Span span = ToSpan(info);
  return Start(info.Env(), [span](MemoryMapping& mapping, Outcome& outcome) {
    const auto done = mapping.Touch(span.offset, span.byte_length);
    outcome.bytes = done.bytes;
    outcome.signal = done.signal;
  });
}

Napi::Value MappingHandle::Advise(const Napi::CallbackInfo& info) {
  const Span span = ToSpan(info);
  const int advice = static_cast<int>(ToSize(info, 2));
  return Start(info.Env(), [span, advice](MemoryMapping& mapping, Outcome& outcome) {
    outcome.error = mapping.Advise(span.offset, span.byte_length, advice);
  });
}

// adviseNow(offset, byteLength, advice): for advice that no page handler hears of.
Napi::Value MappingHandle::AdviseNow(const Napi::CallbackInfo& info) {
  const Span span = ToSpan(info);
  const int advice = static_cast<int>(ToSize(info, 2));
  return Napi::Number::New(info.Env(), mapping_->Advise(span.offset, span.byte_length, advice));
}

Napi::Value MappingHandle::Protect(const Napi::CallbackInfo& info) {
  const Span span = ToSpan(info);
  const int protection = static_cast<int>(ToSize(info, 2));
  return Start(info.Env(), [span, protection](MemoryMapping& mapping, Outcome& outcome) {
    outcome.error = mapping.Protect(span.offset, span.byte_length, protection);
  });
}

Napi::Value MappingHandle::Unmap(const Napi::CallbackInfo& info) {
  // Ends this operation first: Unmap waits for all that are under way.
  return Start(info.Env(), [](MemoryMapping& mapping, Outcome& outcome) {
    mapping.End();
    outcome.error = mapping.Unmap();
    mapping.Begin();
  });
}

}  // namespace thaw
