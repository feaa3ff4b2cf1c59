#include "system_error.h"

#include <cmath>

#include "env_data.h"

namespace thaw {

namespace {
void SetErrorFactory(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction()) throw Napi::TypeError::New(info.Env(), "Expected a function");
  GetEnvData(info.Env()).make_error = Napi::Persistent(info[0].As<Napi::Function>());
}

[[noreturn]] void ThrowExpected(const Napi::CallbackInfo& info, size_t index, const char* what) {
  throw Napi::TypeError::New(
      info.Env(), "Expected " + std::string(what) + " as argument " + std::to_string(index));
}

bool IsWholeNumber(const Napi::Value& value, double max) {
  if (!value.IsNumber()) return false;
  const double number = value.As<Napi::Number>().DoubleValue();
  return number >= 0 && number <= max && std::floor(number) == number;
}
}  // namespace

void ThrowSystemError(Napi::Env env, const char* syscall, int error) {
  Napi::Value made = GetEnvData(env).make_error.Call(
      {Napi::String::New(env, syscall), Napi::Number::New(env, error)});
  throw Napi::Error(env, made);
}

int ToFd(const Napi::CallbackInfo& info, size_t index) {
  if (!IsWholeNumber(info[index], INT32_MAX)) ThrowExpected(info, index, "a file descriptor");
  return info[index].As<Napi::Number>().Int32Value();
}

uint64_t ToUint64(const Napi::CallbackInfo& info, size_t index) {
  bool lossless = false;
  uint64_t value = 0;
  if (info[index].IsBigInt()) value = info[index].As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) ThrowExpected(info, index, "an unsigned 64-bit bigint");
  return value;
}

uint64_t ToSize(const Napi::CallbackInfo& info, size_t index, uint64_t max) {
  if (!IsWholeNumber(info[index], static_cast<double>(max))) ThrowExpected(info, index, "a size");
  return static_cast<uint64_t>(info[index].As<Napi::Number>().Int64Value());
}

Napi::Uint8Array ToBytes(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsTypedArray() ||
      info[index].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    ThrowExpected(info, index, "a Uint8Array");
  }
  return info[index].As<Napi::Uint8Array>();
}

void RegisterErrors(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new EnvData());
  exports.Set("setErrorFactory", Napi::Function::New(env, SetErrorFactory));
}

}  // namespace thaw
