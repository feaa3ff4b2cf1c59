// Errors of the addon as JavaScript sees them, and checks of what JavaScript hands in.
//
// JavaScript thread only.
#ifndef THAW_NATIVE_NAPI_SYSTEM_ERROR_H_
#define THAW_NATIVE_NAPI_SYSTEM_ERROR_H_

#include <napi.h>

#include <cstdint>

namespace thaw {

// Throws the loader's error for a failed system call. `error` is a positive errno.
[[noreturn]] void ThrowSystemError(Napi::Env env, const char* syscall, int error);

// Argument `index` as what the name says, or a TypeError. The typed declarations of src/native.ts
// are the contract; these keep a mistake from becoming memory corruption.
int ToFd(const Napi::CallbackInfo& info, size_t index);
uint64_t ToUint64(const Napi::CallbackInfo& info, size_t index);
// A whole number in [0, max].
inline constexpr uint64_t kSizeMax = 1ULL << 53;
uint64_t ToSize(const Napi::CallbackInfo& info, size_t index, uint64_t max = kSizeMax);
Napi::Uint8Array ToBytes(const Napi::CallbackInfo& info, size_t index);

// setErrorFactory(factory): see EnvData::make_error.
void RegisterErrors(Napi::Env env, Napi::Object exports);

}  // namespace thaw

#endif  // THAW_NATIVE_NAPI_SYSTEM_ERROR_H_
