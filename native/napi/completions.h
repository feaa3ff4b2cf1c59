// Brings outcomes from other threads to the JavaScript thread of one environment.
//
// Thread-safety: Begin on the JavaScript thread; Post on any thread, also after the environment has
// ended (the outcome is then dropped). Lifetime: shared by the environment and by every piece of
// work on its way.
#ifndef THAW_NATIVE_NAPI_COMPLETIONS_H_
#define THAW_NATIVE_NAPI_COMPLETIONS_H_

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>

namespace thaw {

class Completions {
 public:
  using Finish = std::function<void(Napi::Env)>;

  static std::shared_ptr<Completions> Create(Napi::Env env);

  // Announces one Post: keeps the event loop alive until it has arrived.
  void Begin(Napi::Env env);
  void Post(Finish finish);

 private:
  Completions() = default;
  static void OnArrival(napi_env env, napi_value, void* context, void* data);
  static void OnEnvironmentEnd(void* data);

  std::mutex mutex_;
  bool alive_ = true;  // false once `function_` may not be called any more
  napi_threadsafe_function function_ = nullptr;
  size_t expected_ = 0;  // JavaScript thread only
};

}  // namespace thaw

#endif  // THAW_NATIVE_NAPI_COMPLETIONS_H_
