#include "completions.h"

#include <utility>

namespace thaw {

std::shared_ptr<Completions> Completions::Create(Napi::Env env) {
  std::shared_ptr<Completions> completions(new Completions());
  napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "thaw.Completions"),
                                  0, 1, nullptr, nullptr, completions.get(), OnArrival,
                                  &completions->function_);
  napi_unref_threadsafe_function(env, completions->function_);
  // Hooks run last in, first out: this one before the one that ends `function_`. The hook's share
  // keeps the object valid for arrivals that the event loop still delivers.
  napi_add_env_cleanup_hook(env, OnEnvironmentEnd, new std::shared_ptr<Completions>(completions));
  return completions;
}

void Completions::Begin(Napi::Env env) {
  if (expected_++ == 0) napi_ref_threadsafe_function(env, function_);
}

void Completions::Post(Finish finish) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!alive_) return;
  auto* data = new Finish(std::move(finish));
  if (napi_call_threadsafe_function(function_, data, napi_tsfn_nonblocking) != napi_ok) delete data;
}

void Completions::OnArrival(napi_env env, napi_value, void* context, void* data) {
  const std::unique_ptr<Finish> finish(static_cast<Finish*>(data));
  if (env == nullptr) return;  // the environment ends: nobody is left to tell
  auto* completions = static_cast<Completions*>(context);
  if (--completions->expected_ == 0) napi_unref_threadsafe_function(env, completions->function_);
  (*finish)(env);
}

void Completions::OnEnvironmentEnd(void* data) {
  const std::unique_ptr<std::shared_ptr<Completions>> share(
      static_cast<std::shared_ptr<Completions>*>(data));
  std::lock_guard<std::mutex> lock((*share)->mutex_);
  (*share)->alive_ = false;
}

}  // namespace thaw
