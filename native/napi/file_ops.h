// Calls on files that Node lacks.
//
// Every call takes place on the JavaScript thread. The declarations and their contract are in
// src/native.ts.
#ifndef THAW_NATIVE_NAPI_FILE_OPS_H_
#define THAW_NATIVE_NAPI_FILE_OPS_H_

#include <napi.h>

namespace thaw {

void RegisterFileOps(Napi::Env env, Napi::Object exports);

}  // namespace thaw

#endif  // THAW_NATIVE_NAPI_FILE_OPS_H_
