{
  # Sources are listed once, in native/sources.json, for this build and for CMakeLists.txt.
  'variables': {
    # In each target, not in target_defaults: there Node's own -std would come after ours and win.
    'own_cflags_cc': [
      '-std=c++23', '-Wall', '-Wextra', '-Wpedantic', '-Werror',
      '-fvisibility=hidden', '-fvisibility-inlines-hidden', '-ffunction-sections', '-fdata-sections',
    ],
    'own_ldflags': ['-Wl,--gc-sections', '-Wl,--as-needed'],
  },
  'targets': [
    {
      'target_name': 'netmode',
      'sources': ["<!@(node -p \"require('./native/sources.json').addon.join(' ')\")"],
      'include_dirs': ['native'],
      # A worker that is being terminated lets nobody throw: that is no reason to abort the process.
      'defines': ['NAPI_VERSION=9', 'NAPI_DISABLE_CPP_EXCEPTIONS', 'NODE_ADDON_API_DISABLE_DEPRECATED', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
      # node-addon-api as a system folder, so that -Werror is about our own code.
      'cflags_cc': ['<@(own_cflags_cc)', '-isystem', "<!(node -p \"require('path').resolve(require('node-addon-api').include_dir)\")"],
      # libnftnl is not linked: it is opened on first need, and its functions are bound when they are first called.
      'ldflags': ['<@(own_ldflags)', '-Wl,-z,lazy'],
    },
    {
      'target_name': 'netmode-exec',
      'type': 'executable',
      'sources': ["<!@(node -p \"require('./native/sources.json').exec.join(' ')\")"],
      'include_dirs': ['native'],
      'cflags_cc': ['<@(own_cflags_cc)'],
      'ldflags': ['<@(own_ldflags)'],
    },
  ],
}
