{
  'variables': {
    'warnings': ['-Wall', '-Wextra', '-Werror', '-Wno-unused-parameter'],
  },
  'target_defaults': {
    'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-fno-rtti', '-fno-exceptions'],
    'cflags_cc': ['-std=c++17', '-O2', '-g', '<@(warnings)'],
    'include_dirs': ['native/core'],
    'defines': ['_GNU_SOURCE'],
  },
  'targets': [
    {
      'target_name': 'core',
      'type': 'static_library',
      'sources': ['<!@(find native/core -name "*.cc")'],
      'cflags': ['-fPIC'],
      'cflags_cc': ['-fno-exceptions'],
    },
    {
      'target_name': 'thaw',
      'dependencies': ['core', "<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except"],
      'sources': ['native/binding.cc', '<!@(find native/napi -name "*.cc")'],
      # An error cannot be thrown where a worker is being terminated: that is not the process's end.
      'defines': ['NAPI_VERSION=9', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
      'cflags_cc': ['-fexceptions', '-fvisibility=hidden'],
      # Threads and a signal handler of the addon outlive a worker that loaded it.
      'ldflags': ['-Wl,-z,nodelete'],
    },
    {
      'target_name': 'thaw-pager',
      'type': 'executable',
      'dependencies': ['core'],
      'sources': ['<!@(find native/pager -name "*.cc")'],
      'cflags_cc': ['-fno-exceptions'],
      'ldflags': ['-pthread'],
      'libraries': ['-llz4', '-ldeflate'],
    },
    {
      'target_name': 'thaw-host',
      'type': 'executable',
      'sources': ['<!@(find native/host -name "*.cc")'],
      'cflags_cc': [
        '-ffreestanding', '-fno-exceptions', '-fno-rtti', '-fno-stack-protector', '-fpie',
        '-fvisibility=hidden', '-fno-asynchronous-unwind-tables', '-fno-threadsafe-statics',
        '-fno-tree-loop-distribute-patterns', '-U_FORTIFY_SOURCE', '-fcf-protection=none',
      ],
      'ldflags': ['-nostdlib', '-static-pie', '-Wl,--no-dynamic-linker', '-Wl,-z,norelro',
                  '-Wl,-z,noseparate-code', '-Wl,--build-id=none'],
    },
  ],
}
