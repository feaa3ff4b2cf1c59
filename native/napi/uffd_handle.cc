#include "uffd_handle.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include <cstring>
#include <vector>

#include "env_data.h"
#include "system_error.h"

namespace thaw {

namespace {

// Bounds the buffer of one read; more messages come with the next.
constexpr uint64_t kReadMessagesMax = 4096;

abi::Range ToRange(const Napi::CallbackInfo& info) { return {ToUint64(info, 0), ToSize(info, 1)}; }

Napi::Value Number(const Napi::CallbackInfo& info, int value) {
  return Napi::Number::New(info.Env(), value);
}

Napi::Value ToObject(const Napi::CallbackInfo& info, uffd::Result result) {
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("bytes", static_cast<double>(result.bytes));
  object.Set("errno", result.error);
  return object;
}

// uffdOpen(flags, viaDevice): a descriptor, or a negated errno.
Napi::Value UffdOpen(const Napi::CallbackInfo& info) {
  const auto flags = static_cast<uint32_t>(ToSize(info, 0));
  const bool via_device = info[1].ToBoolean();
  const uffd::Value opened = via_device ? uffd::OpenByDevice(flags) : uffd::OpenBySyscall(flags);
  return Number(info, opened.ok() ? static_cast<int>(opened.value) : -opened.error);
}

}  // namespace

void UffdHandle::Register(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor = DefineClass(
      env, "UffdHandle",
      {InstanceAccessor<&UffdHandle::GetFd>("fd"), InstanceMethod<&UffdHandle::Release>("release"),
       InstanceMethod<&UffdHandle::Close>("close"),
       InstanceMethod<&UffdHandle::IsNonBlocking>("isNonBlocking"),
       InstanceMethod<&UffdHandle::Poll>("poll"), InstanceMethod<&UffdHandle::Read>("read"),
       InstanceMethod<&UffdHandle::Api>("api"),
       InstanceMethod<&UffdHandle::RegisterRange>("register"),
       InstanceMethod<&UffdHandle::Unregister>("unregister"),
       InstanceMethod<&UffdHandle::Wake>("wake"),
       InstanceMethod<&UffdHandle::WriteProtect>("writeProtect"),
       InstanceMethod<&UffdHandle::Copy>("copy"), InstanceMethod<&UffdHandle::Move>("move"),
       InstanceMethod<&UffdHandle::Fill<uffd::Zeropage>>("zeropage"),
       InstanceMethod<&UffdHandle::Fill<uffd::Continue>>("continue"),
       InstanceMethod<&UffdHandle::Fill<uffd::Poison>>("poison")});
  GetEnvData(env).uffd_constructor = Napi::Persistent(constructor);
  exports.Set("UffdHandle", constructor);
  exports.Set("uffdOpen", Napi::Function::New(env, UffdOpen));
}

UffdHandle::UffdHandle(const Napi::CallbackInfo& info) : ObjectWrap(info), fd_(ToFd(info, 0)) {}

Napi::Value UffdHandle::GetFd(const Napi::CallbackInfo& info) { return Number(info, fd_.get()); }

Napi::Value UffdHandle::Release(const Napi::CallbackInfo& info) {
  return Number(info, fd_.Release());
}

void UffdHandle::Close(const Napi::CallbackInfo&) { fd_.Reset(); }

Napi::Value UffdHandle::IsNonBlocking(const Napi::CallbackInfo& info) {
  const int flags = fcntl(fd_.get(), F_GETFL);
  return Napi::Boolean::New(info.Env(), flags >= 0 && (flags & O_NONBLOCK) != 0);
}

Napi::Value UffdHandle::Poll(const Napi::CallbackInfo& info) {
  pollfd entry{fd_.get(), POLLIN, 0};
  int answer;
  do {
    answer = poll(&entry, 1, 0);
  } while (answer < 0 && errno == EINTR);
  if (answer < 0) ThrowSystemError(info.Env(), "poll", errno);
  return Number(info, entry.revents);
}

Napi::Value UffdHandle::Read(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::vector<abi::Message> messages(ToSize(info, 0, kReadMessagesMax));
  uffd::Value answer;
  do {
    answer = uffd::Read(fd_.get(), messages.data(), messages.size());
  } while (answer.error == EINTR);
  if (answer.error == EAGAIN) return env.Null();
  if (!answer.ok()) ThrowSystemError(env, "read", answer.error);

  const auto count = static_cast<size_t>(answer.value);
  Napi::Uint8Array bytes = Napi::Uint8Array::New(env, count * sizeof(abi::Message));
  memcpy(bytes.Data(), messages.data(), bytes.ByteLength());
  // A descriptor has an owner from the moment that it exists in this process.
  Napi::Array children = Napi::Array::New(env);
  for (size_t i = 0; i < count; ++i) {
    if (messages[i].event != abi::kEventFork) continue;
    Napi::Value fd = Napi::Number::New(env, messages[i].fork.ufd);
    children.Set(children.Length(), GetEnvData(env).uffd_constructor.New({fd}));
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("messages", bytes);
  result.Set("children", children);
  return result;
}

Napi::Value UffdHandle::Api(const Napi::CallbackInfo& info) {
  abi::Api api{abi::kApi, ToUint64(info, 0), 0};
  const int error = uffd::Api(fd_.get(), &api);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("errno", error);
  result.Set("features", Napi::BigInt::New(info.Env(), api.features));
  result.Set("ioctls", Napi::BigInt::New(info.Env(), api.ioctls));
  return result;
}

Napi::Value UffdHandle::RegisterRange(const Napi::CallbackInfo& info) {
  uint64_t ioctls = 0;
  const int error = uffd::Register(fd_.get(), ToRange(info), ToUint64(info, 2), &ioctls);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("errno", error);
  result.Set("ioctls", Napi::BigInt::New(info.Env(), ioctls));
  return result;
}

Napi::Value UffdHandle::Unregister(const Napi::CallbackInfo& info) {
  return Number(info, uffd::Unregister(fd_.get(), ToRange(info)));
}

Napi::Value UffdHandle::Wake(const Napi::CallbackInfo& info) {
  return Number(info, uffd::Wake(fd_.get(), ToRange(info)));
}

Napi::Value UffdHandle::WriteProtect(const Napi::CallbackInfo& info) {
  return Number(info, uffd::WriteProtect(fd_.get(), ToRange(info), ToUint64(info, 2)));
}

Napi::Value UffdHandle::Copy(const Napi::CallbackInfo& info) {
  const uint64_t length = ToSize(info, 2);
  uint64_t source;
  if (info[1].IsBigInt()) {
    source = ToUint64(info, 1);
  } else {
    const Napi::Uint8Array bytes = ToBytes(info, 1);
    if (bytes.ByteLength() < length) throw Napi::RangeError::New(info.Env(), "Source too short");
    source = reinterpret_cast<uint64_t>(bytes.Data());
  }
  return ToObject(info,
                  uffd::Copy(fd_.get(), ToUint64(info, 0), source, length, ToUint64(info, 3)));
}

Napi::Value UffdHandle::Move(const Napi::CallbackInfo& info) {
  return ToObject(info, uffd::Move(fd_.get(), ToUint64(info, 0), ToUint64(info, 1), ToSize(info, 2),
                                   ToUint64(info, 3)));
}

template <uffd::Result (*kFill)(int, abi::Range, uint64_t)>
Napi::Value UffdHandle::Fill(const Napi::CallbackInfo& info) {
  return ToObject(info, kFill(fd_.get(), ToRange(info), ToUint64(info, 2)));
}

}  // namespace thaw
