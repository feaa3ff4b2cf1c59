// FdWatcher: calls a JavaScript function while a descriptor is readable or hung up.
//
// Thread-safety: lives on the event loop of the environment that made it. Lifetime: keeps itself
// alive until close(), or until its environment ends. Does not own the descriptor.
#ifndef THAW_NATIVE_NAPI_FD_WATCHER_H_
#define THAW_NATIVE_NAPI_FD_WATCHER_H_

#include <napi.h>
#include <uv.h>

namespace thaw {

class FdWatcher : public Napi::ObjectWrap<FdWatcher> {
 public:
  static void Register(Napi::Env env, Napi::Object exports);

  explicit FdWatcher(const Napi::CallbackInfo& info);
  ~FdWatcher() override;

 private:
  // The libuv handle, which outlives the object that started it by the time uv_close takes.
  struct Poll {
    uv_poll_t handle;
    FdWatcher* owner;
    napi_async_cleanup_hook_handle hook;
  };

  static void OnReady(uv_poll_t* handle, int status, int events);
  static void OnEnvironmentEnd(napi_async_cleanup_hook_handle hook, void* data);
  static void OnClosed(uv_handle_t* handle);
  static void ClosePoll(Poll* poll);

  void CallBack(int error);
  void Stop();
  void RefLoop(const Napi::CallbackInfo& info);
  void UnrefLoop(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  Poll* poll_ = nullptr;
  Napi::FunctionReference callback_;
  Napi::AsyncContext context_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_NAPI_FD_WATCHER_H_
