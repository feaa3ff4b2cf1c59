#include "fd_watcher.h"

#include "system_error.h"

namespace thaw {

void FdWatcher::Register(Napi::Env env, Napi::Object exports) {
  exports.Set("FdWatcher", DefineClass(env, "FdWatcher",
                                       {InstanceMethod<&FdWatcher::RefLoop>("ref"),
                                        InstanceMethod<&FdWatcher::UnrefLoop>("unref"),
                                        InstanceMethod<&FdWatcher::Close>("close")}));
}

FdWatcher::FdWatcher(const Napi::CallbackInfo& info)
    : ObjectWrap(info), context_(info.Env(), "thaw.FdWatcher") {
  const int fd = ToFd(info, 0);
  if (!info[1].IsFunction()) throw Napi::TypeError::New(info.Env(), "Expected a function");
  callback_ = Napi::Persistent(info[1].As<Napi::Function>());

  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(info.Env(), &loop);
  auto* poll = new Poll{{}, this, nullptr};
  const int error = uv_poll_init(loop, &poll->handle, fd);
  if (error != 0) {
    delete poll;
    ThrowSystemError(info.Env(), "epoll_ctl", -error);
  }
  poll->handle.data = poll;
  napi_add_async_cleanup_hook(info.Env(), OnEnvironmentEnd, poll, &poll->hook);
  poll_ = poll;
  uv_poll_start(&poll->handle, UV_READABLE | UV_DISCONNECT, OnReady);
  Ref();
}

FdWatcher::~FdWatcher() {
  if (poll_ == nullptr) return;
  poll_->owner = nullptr;
  ClosePoll(poll_);
}

void FdWatcher::OnReady(uv_poll_t* handle, int status, int) {
  FdWatcher* owner = static_cast<Poll*>(handle->data)->owner;
  if (owner != nullptr) owner->CallBack(-status);
}

void FdWatcher::CallBack(int error) {
  Napi::HandleScope scope(Env());
  // Both stay alive through this object's own close().
  const napi_value receiver = Value();
  const napi_value callback = callback_.Value();
  // libuv has stopped the handle when it reports an error: nothing would ever come again.
  if (error != 0) Stop();
  napi_value argument = Napi::Number::New(Env(), error);
  if (napi_make_callback(Env(), context_, receiver, callback, 1, &argument, nullptr) !=
      napi_pending_exception) {
    return;
  }
  napi_value thrown = nullptr;
  if (napi_get_and_clear_last_exception(Env(), &thrown) == napi_ok) {
    napi_fatal_exception(Env(), thrown);
  }
}

void FdWatcher::OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* data) {
  auto* poll = static_cast<Poll*>(data);
  if (poll->owner != nullptr) poll->owner->poll_ = nullptr;
  poll->owner = nullptr;
  ClosePoll(poll);
}

void FdWatcher::ClosePoll(Poll* poll) {
  auto* handle = reinterpret_cast<uv_handle_t*>(&poll->handle);
  if (uv_is_closing(handle) == 0) uv_close(handle, OnClosed);
}

void FdWatcher::OnClosed(uv_handle_t* handle) {
  auto* poll = static_cast<Poll*>(handle->data);
  napi_remove_async_cleanup_hook(poll->hook);
  delete poll;
}

void FdWatcher::Stop() {
  if (poll_ == nullptr) return;
  poll_->owner = nullptr;
  ClosePoll(poll_);
  poll_ = nullptr;
  callback_.Reset();  // what it refers to may refer to this object
  Unref();
}

void FdWatcher::RefLoop(const Napi::CallbackInfo&) {
  if (poll_ != nullptr) uv_ref(reinterpret_cast<uv_handle_t*>(&poll_->handle));
}

void FdWatcher::UnrefLoop(const Napi::CallbackInfo&) {
  if (poll_ != nullptr) uv_unref(reinterpret_cast<uv_handle_t*>(&poll_->handle));
}

void FdWatcher::Close(const Napi::CallbackInfo&) { Stop(); }

}  // namespace thaw
